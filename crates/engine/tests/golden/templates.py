"""Writes templates.json: chat templates that use what the templates of known families use, and the
texts that Transformers renders with them. Not run by the tests.
"""

import json
import pathlib

from transformers.utils.chat_template_utils import _compile_jinja_template

HERE = pathlib.Path(__file__).parent
CHATS = [
    [("user", "Hi <b>\"there\"</b>")],
    [("system", "  Be brief.\n"), ("user", "Owls?"), ("assistant", "<think>hm</think>\n\nYes."),
     ("user", "Why? \u00e9\U0001F989 ")],
]
TEMPLATES = {
    "chatml, default system turn": """{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nBe helpful<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}""",
    "headers, like Llama 3": """{{- bos_token }}
{%- if custom_tools is defined %}
    {%- set tools = custom_tools %}
{%- endif %}
{%- if not date_string is defined %}
    {%- set date_string = "26 Jul 2024" %}
{%- endif %}
{%- if not tools is defined %}
    {%- set tools = none %}
{%- endif %}
{#- A system turn is always there. #}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{%- if tools is not none %}
    {{- "Environment: ipython\\n" }}
{%- endif %}
{{- "Today Date: " + date_string + "\\n\\n" }}
{{- system_message }}
{{- "<|eot_id|>" }}
{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ message['content'] | trim + '<|eot_id|>' }}
    {%- else %}
        {{- raise_exception("no tools here") }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
""",
    "tools and namespaces, like Qwen": """{%- if tools %}
    {{- '<|im_start|>system\\n' }}{{- tools | tojson }}
{%- else %}
    {%- if messages[0].role == 'system' %}
        {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
    {%- endif %}
{%- endif %}
{%- set ns = namespace(multi_step_tool=true, last_query_index=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.multi_step_tool and message.role == "user" and message.content is string and not(message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}
        {%- set ns.multi_step_tool = false %}
        {%- set ns.last_query_index = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {%- set reasoning_content = '' %}
        {%- if message.reasoning_content is string %}
            {%- set reasoning_content = message.reasoning_content %}
        {%- elif '</think>' in message.content %}
            {%- set reasoning_content = message.content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
            {%- set content = message.content.split('</think>')[-1].lstrip('\\n') %}
        {%- endif %}
        {%- if loop.index0 > ns.last_query_index %}
            {{- '<think>' ~ reasoning_content.strip('\\n') ~ '</think>' }}
        {%- endif %}
        {{- '<|im_start|>' + message.role + '\\n' + (content if content is defined else message.content) + '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}
{%- endif %}""",
    "turns, like Gemma": """{{ bos_token }}{% for message in messages %}{% if message['role'] == 'system' %}{% continue %}{% endif %}{% if (message['role'] == 'assistant') %}{% set role = 'model' %}{% else %}{% set role = message['role'] %}{% endif %}{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}{% endfor %}{% if add_generation_prompt %}{{'<start_of_turn>model\n'}}{% endif %}""",
    "white space, filters, loops": """
    {% for m in messages if m.role != 'system' %}
      {%- if loop.last %}last {% endif %}
{{ loop.index }}/{{ loop.length }} {{ m.role | upper }} {{ m.content | length }} {{ m | tojson }}
    {% else %}
nothing
    {% endfor %}
{%- macro wrap(text, mark='*') -%} {{ mark }}{{ text.title() }}{{ mark }} {%- endmacro %}
{{ wrap('an owl') }}|{{ wrap('b', mark='_') }}
{% set roles = messages | map(attribute='role') | list %}{{ roles | join(',') }} {{ roles[-1] }}
{{ (messages | selectattr('role', 'equalto', 'user') | list | length) ~ ' users' }}
{% for key, value in {'b': 1, 'a': [true, none, 1.5]}.items() %}{{ key }}={{ value | tojson }};{% endfor %}
{{ {'x': 'é<&>', 'y': [1, 2]} | tojson(indent=2) }}
{{ 7 // 2 }} {{ 7 % 4 }} {{ 2 ** 3 }} {{ 'ab' * 2 }} {{ 'b' in 'abc' }} {{ [1, 2] + [3] }}
""",
}


def render(source, chat, open):
    messages = [dict(role=role, content=content) for role, content in chat]
    return _compile_jinja_template(source).render(
        messages=messages, tools=None, documents=None, add_generation_prompt=open,
        bos_token="<s>", eos_token="</s>",
    )


cases = [
    dict(name=name, source=source, messages=[dict(role=r, content=c) for r, c in chat], open=open,
         text=render(source, chat, open))
    for name, source in TEMPLATES.items() for chat, open in zip(CHATS, (True, False))
]
(HERE / "templates.json").write_text(json.dumps(cases, ensure_ascii=False, indent=1) + "\n")
print(cases[-1]["text"])
