"""The official client against `owlet serve`: python openai_client.py path/to/owlet

Tools need a vocabulary with brackets: OWLET_TEST_SMOLLM2 names a model that has them."""

import json
import math
import os
import sys
import tempfile
import unittest

import openai

from server import Server

BINARY = sys.argv.pop(1)
MODEL = "builtin:a"
WORDS = os.environ["OWLET_TEST_SMOLLM2"]
ASK = [{"role": "user", "content": "given 1 2 3 then write ten numbers"}]
WEATHER_ASK = [{"role": "user", "content": "How is the weather in Paris?"}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather of a city",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "maxLength": 12},
                "unit": {"enum": ["C", "F"]},
                "days": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
            },
            "required": ["city", "unit"],
            "additionalProperties": {},
        },
    },
}


class Test(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.server = Server(BINARY, MODEL, f"words={WORDS}", workspace=os.path.join(cls.folder.name, "workspace"))
        cls.client = openai.OpenAI(base_url=cls.server.url + "/v1", api_key="none", max_retries=0)

    @classmethod
    def tearDownClass(cls):
        cls.client.close()
        assert cls.server.stop() == 0
        cls.folder.cleanup()

    def chat(self, **extra):
        given = {"model": MODEL, "messages": ASK, "max_tokens": 8, **extra}
        return self.client.chat.completions.create(**given)

    def test_responses_are_chats_answers(self):
        chat = self.chat(seed=3, temperature=0)
        given = {"model": MODEL, "input": ASK, "max_output_tokens": 8, "temperature": 0}
        response = self.client.responses.create(**given, extra_body={"seed": 3})
        self.assertEqual(response.output_text, chat.choices[0].message.content)
        self.assertEqual(response.status, "incomplete")
        self.assertEqual(response.incomplete_details.reason, "max_output_tokens")
        self.assertEqual(response.usage.output_tokens, chat.usage.completion_tokens)
        told = self.client.responses.create(
            **given, include=["message.output_text.logprobs"], top_logprobs=2, extra_body={"seed": 3})
        tokens = told.output[0].content[0].logprobs
        self.assertEqual(len(tokens), 8)
        self.assertEqual(len(tokens[0].top_logprobs), 2)
        with self.client.responses.stream(**given, extra_body={"seed": 3}) as stream:
            events = list(stream)
        kinds, last = [event.type for event in events], events[-1].response
        self.assertEqual(last.output_text, response.output_text)
        self.assertEqual(last.usage, response.usage)
        self.assertEqual(kinds[:4], ["response.created", "response.in_progress", "response.output_item.added",
                                     "response.content_part.added"])
        self.assertEqual(kinds[-1], "response.incomplete")

    def test_responses_call_tools_and_go_on(self):
        parameters = {"type": "object", "properties": {"unit": {"enum": ["C", "F"]}}, "required": ["unit"],
                      "additionalProperties": False}
        tool = {"type": "function", "name": "get_weather", "strict": True, "parameters": parameters}
        given = {"model": "words", "tools": [tool], "tool_choice": "required", "max_output_tokens": 200}
        first = self.client.responses.create(**given, input=WEATHER_ASK)
        calls = [item for item in first.output if item.type == "function_call"]
        self.assertTrue(calls)
        self.assertIn(json.loads(calls[0].arguments)["unit"], ["C", "F"])
        with self.client.responses.stream(**given, input=WEATHER_ASK) as stream:
            kinds = {event.type for event in stream}
        self.assertIn("response.function_call_arguments.done", kinds)
        past = WEATHER_ASK + [item.to_dict() for item in first.output]
        past.append({"type": "function_call_output", "call_id": calls[0].call_id, "output": "rain"})
        second = self.client.responses.create(
            model="words", input=past, instructions="Be brief.", tools=[tool], tool_choice="none",
            max_output_tokens=8)
        self.assertEqual(second.output[0].type, "message")
        form = {"type": "json_schema", "name": "n", "schema": {"type": "object", "properties": {
            "n": {"type": "integer", "maximum": 9, "minimum": 0}}, "required": ["n"], "additionalProperties": False}}
        made = self.client.responses.create(
            model="words", input="A digit?", text={"format": form}, max_output_tokens=40)
        self.assertIn(json.loads(made.output_text)["n"], range(10))

    def test_responses_refuse_what_is_not_kept(self):
        for extra, field in [({"previous_response_id": "resp_1"}, "previous_response_id"),
                             ({"input": [{"type": "item_reference", "id": "x"}]}, "input[0].type"),
                             ({"max_output_tokens": -1}, "max_output_tokens"),
                             ({"extra_body": {"n": 2}}, "n")]:
            with self.assertRaises(openai.BadRequestError) as refused:
                self.client.responses.create(**{"model": MODEL, "input": "owl", **extra})
            self.assertEqual(refused.exception.param, field)

    def test_models_are_listed(self):
        models = self.client.models.list().data
        self.assertEqual([model.id for model in models], [MODEL, "words"])
        self.assertGreater(self.client.models.retrieve(MODEL).max_model_len, 0)

    def test_an_answer_has_all_its_parts(self):
        answer = self.chat(seed=1)
        choice = answer.choices[0]
        self.assertEqual(choice.message.role, "assistant")
        self.assertIn(choice.finish_reason, ["stop", "length"])
        self.assertEqual(
            answer.usage.total_tokens, answer.usage.prompt_tokens + answer.usage.completion_tokens
        )

    def test_seeded_answers_repeat_whatever_the_company(self):
        alone = self.chat(seed=7, n=1).choices[0].message.content
        company = self.chat(seed=7, n=16)
        self.assertEqual(company.choices[0].message.content, alone)
        self.assertGreater(len({choice.message.content for choice in company.choices}), 1)

    def test_streams_say_what_answers_say(self):
        whole = self.chat(seed=3, n=2, logprobs=True, top_logprobs=2)
        texts, logs, reasons, usage = ["", ""], [[], []], [None, None], None
        for chunk in self.chat(
            seed=3, n=2, logprobs=True, top_logprobs=2, stream=True,
            stream_options={"include_usage": True},
        ):
            usage = chunk.usage or usage
            for choice in chunk.choices:
                texts[choice.index] += choice.delta.content or ""
                reasons[choice.index] = choice.finish_reason or reasons[choice.index]
                if choice.logprobs:
                    logs[choice.index] += choice.logprobs.content
        self.assertEqual(texts, [choice.message.content for choice in whole.choices])
        self.assertEqual(reasons, [choice.finish_reason for choice in whole.choices])
        self.assertEqual(logs, [choice.logprobs.content for choice in whole.choices])
        self.assertEqual(usage, whole.usage)

    def test_log_probabilities_are_told(self):
        answer = self.chat(seed=1, logprobs=True, top_logprobs=3)
        content = answer.choices[0].logprobs.content
        self.assertEqual(len(content), answer.usage.completion_tokens)
        for token in content:
            self.assertLessEqual(token.logprob, 0)
            self.assertEqual(len(token.top_logprobs), 3)
            self.assertEqual(bytes(token.bytes).decode(), token.token)
            tops = [top.logprob for top in token.top_logprobs]
            self.assertEqual(tops, sorted(tops, reverse=True))

    def test_greedy_answers_have_the_likeliest_tokens(self):
        content = self.chat(temperature=0, logprobs=True, top_logprobs=1).choices[0].logprobs.content
        for token in content:
            self.assertEqual(token.token, token.top_logprobs[0].token)

    def test_stop_texts_are_left_out(self):
        text = self.chat(seed=5, max_tokens=20).choices[0].message.content
        word = text.split()[0]
        stopped = self.chat(seed=5, max_tokens=20, stop=[word]).choices[0]
        self.assertNotIn(word, stopped.message.content)
        self.assertEqual(stopped.finish_reason, "stop")

    def test_a_bias_decides(self):
        scored = self.client.completions.create(
            model=MODEL, prompt="cat owl", max_tokens=0, extra_body={"prompt_logprobs": 1}
        )
        ranks = scored.choices[0].prompt_logprobs[1]
        owl = next(token for token, row in ranks.items() if row["decoded_token"].strip() == "owl")
        answer = self.chat(logit_bias={owl: 100}, max_tokens=3, temperature=0)
        self.assertEqual(answer.choices[0].message.content.split(), ["owl"] * 3)
        answer = self.chat(
            logit_bias={owl: 20}, max_tokens=8, temperature=0, frequency_penalty=2,
            presence_penalty=2,
        )
        self.assertLess(answer.choices[0].message.content.split().count("owl"), 8)

    def test_tools_are_called_and_arguments_parse(self):
        for choice in ["required", {"type": "function", "function": {"name": "get_weather"}}]:
            answer = self.chat(
                model="words", messages=WEATHER_ASK, tools=[WEATHER], tool_choice=choice,
                max_tokens=64, seed=2, parallel_tool_calls=False,
            )
            calls = answer.choices[0].message.tool_calls
            self.assertEqual(len(calls), 1)
            for call in calls:
                self.assertEqual(call.function.name, "get_weather")
                arguments = json.loads(call.function.arguments)
                self.assertIn(arguments["unit"], ["C", "F"])
                self.assertIsInstance(arguments["city"], str)

    def test_a_call_that_is_cut_is_told_as_far_as_it_came(self):
        given = dict(model="words", messages=WEATHER_ASK, tools=[WEATHER], tool_choice="required", seed=2)
        whole = self.chat(**given, max_tokens=64).choices[0].message.tool_calls[0].function.arguments
        self.assertIsInstance(json.loads(whole)["city"], str)
        cut = self.chat(**given, max_tokens=30).choices[0]
        self.assertEqual(cut.finish_reason, "length")
        arguments = cut.message.tool_calls[0].function.arguments
        self.assertTrue(whole.startswith(arguments) and arguments != whole, arguments)

    def test_streamed_tool_calls_are_those_of_the_answer(self):
        given = dict(
            model="words", messages=WEATHER_ASK, tools=[WEATHER], tool_choice="required",
            max_tokens=48, seed=2,
        )
        whole = self.chat(**given).choices[0]
        calls = []
        for chunk in self.chat(**given, stream=True):
            calls += chunk.choices[0].delta.tool_calls or []
        self.assertEqual(
            [call.function.arguments for call in calls],
            [call.function.arguments for call in whole.message.tool_calls],
        )

    def test_schemas_are_held(self):
        schema = {
            "type": "object",
            "properties": {"animal": {"enum": ["owl", "fox"]}, "count": {"type": "integer"}},
            "required": ["animal", "count"],
        }
        answer = self.chat(
            model="words", messages=WEATHER_ASK, max_tokens=64, seed=1,
            response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": schema}},
        )
        value = json.loads(answer.choices[0].message.content)
        self.assertIn(value["animal"], ["owl", "fox"])
        self.assertIsInstance(value["count"], int)

    def test_tool_results_and_other_messages_are_read(self):
        messages = [
            {"role": "developer", "content": [{"type": "text", "text": "Be brief."}]},
            *WEATHER_ASK,
            {"role": "assistant", "content": None, "reasoning_content": "Hm.", "tool_calls": [
                {"id": "1", "type": "function",
                 "function": {"name": "get_weather", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "1", "content": "Rain."},
            *WEATHER_ASK,
            *WEATHER_ASK,
        ]
        answer = self.chat(model="words", messages=messages, tools=[WEATHER], max_tokens=4)
        self.assertGreater(answer.usage.prompt_tokens, 100)

    def test_an_answer_is_continued(self):
        messages = [*ASK, {"role": "assistant", "content": "7 8"}]
        one = self.chat(messages=messages, seed=1).choices[0].message.content
        two = self.chat(
            messages=messages, seed=1,
            extra_body={"add_generation_prompt": False, "continue_final_message": True},
        )
        self.assertEqual(two.choices[0].message.content, one)

    def test_texts_are_scored(self):
        answer = self.client.completions.create(
            model=MODEL, prompt=["owl wolf cat", "wolf fox owl"], max_tokens=0, echo=True, logprobs=2
        )
        for choice in answer.choices:
            logs = choice.logprobs
            self.assertIsNone(logs.token_logprobs[0])
            self.assertTrue(all(math.isfinite(log) for log in logs.token_logprobs[1:]))
            for log, top in zip(logs.token_logprobs[1:], logs.top_logprobs[1:]):
                self.assertGreaterEqual(len(top), 2)
                self.assertLessEqual(log, max(top.values()))
        plain = self.client.completions.create(
            model=MODEL, prompt="owl wolf cat", max_tokens=0, echo=True, logprobs=0
        )
        for one, other in zip(plain.choices[0].logprobs.token_logprobs[1:],
                              answer.choices[0].logprobs.token_logprobs[1:]):
            self.assertAlmostEqual(one, other, places=4)

    def test_texts_are_continued(self):
        whole = self.client.completions.create(model=MODEL, prompt="owl wolf cat", seed=1, n=2)
        self.assertEqual(len(whole.choices), 2)
        texts = ["", ""]
        for chunk in self.client.completions.create(
            model=MODEL, prompt="owl wolf cat", seed=1, n=2, stream=True
        ):
            for choice in chunk.choices:
                texts[choice.index] += choice.text
        self.assertEqual(texts, [choice.text for choice in whole.choices])

    def test_mistakes_are_named(self):
        for extra, field in [
            ({"temperature": -1}, "temperature"),
            ({"n": 0}, "n"),
            ({"max_tokens": 0}, "max_tokens"),
            ({"top_logprobs": 2}, "top_logprobs"),
            ({"messages": []}, "messages"),
            ({"messages": [{"role": "wizard", "content": "x"}]}, "messages[0].role"),
            ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools[0].function.name"),
        ]:
            with self.assertRaises(openai.BadRequestError) as caught:
                self.chat(**extra)
            self.assertEqual(caught.exception.param, field)
        with self.assertRaises(openai.NotFoundError) as caught:
            self.chat(model="none")
        self.assertEqual(caught.exception.code, "model_not_found")

    def test_a_prompt_that_is_too_long_is_refused_with_both_lengths(self):
        context = self.client.models.retrieve(MODEL).max_model_len
        with self.assertRaises(openai.BadRequestError) as caught:
            self.chat(messages=[{"role": "user", "content": "owl wolf cat " * context}])
        self.assertEqual(caught.exception.code, "context_length_exceeded")
        self.assertIn(str(context), caught.exception.message)

    def test_unknown_fields_are_ignored_with_a_warning(self):
        answer = self.client.chat.completions.with_raw_response.create(
            model=MODEL, messages=ASK, max_tokens=1, extra_body={"frobnicate": 1}
        )
        self.assertIn("frobnicate", answer.headers["warning"])


if __name__ == "__main__":
    unittest.main()
