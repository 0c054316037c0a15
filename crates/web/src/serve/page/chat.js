// Text from a model enters the page through textContent alone.
const at = (id) => document.getElementById(id);
let messages = [];
let running = null;

const headers = () => {
  const key = at("key").value;
  return { "content-type": "application/json", ...(key ? { authorization: `Bearer ${key}` } : {}) };
};

async function models() {
  const answer = await fetch("/v1/models", { headers: headers() });
  if (answer.status === 401) {
    at("key-label").hidden = false;
    return;
  }
  const { data } = await answer.json();
  at("model").replaceChildren(...data.map(({ id }) => new Option(id, id)));
}

function turn(role) {
  const block = document.createElement("div");
  block.className = `turn ${role}`;
  const who = document.createElement("span");
  who.className = "who";
  who.textContent = role === "user" ? "you" : role === "error" ? "error" : at("model").value;
  const thought = document.createElement("span");
  thought.className = "thought";
  const text = document.createElement("span");
  block.append(who, thought, text);
  at("turns").append(block);
  return { thought, text, block };
}

async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    held += value;
    const frames = held.split("\n\n");
    held = frames.pop();
    for (const frame of frames) {
      if (frame.startsWith("data: ") && frame !== "data: [DONE]") yield JSON.parse(frame.slice(6));
    }
  }
}

async function send(said) {
  // A new conversation has its own list; what is still said in the old one stays there.
  const own = messages;
  own.push({ role: "user", content: said });
  turn("user").text.textContent = said;
  const shown = turn("assistant");
  const asked = new AbortController();
  running = asked;
  at("send").textContent = "Stop";
  let content = "";
  try {
    const seed = at("seed").value;
    const answer = await fetch("/v1/chat/completions", {
      method: "POST",
      headers: headers(),
      signal: asked.signal,
      body: JSON.stringify({
        model: at("model").value,
        messages: own,
        temperature: Number(at("temperature").value),
        ...(seed === "" ? {} : { seed: Number(seed) }),
        stream: true,
      }),
    });
    if (!answer.ok) throw new Error((await answer.json()).error.message);
    for await (const event of events(answer.body)) {
      if (event.error) throw new Error(event.error.message);
      const delta = event.choices[0]?.delta ?? {};
      shown.thought.textContent += delta.reasoning_content ?? "";
      content += delta.content ?? "";
      shown.text.textContent = content;
      shown.block.scrollIntoView({ block: "nearest" });
    }
  } catch (error) {
    if (error.name !== "AbortError") turn("error").text.textContent = error.message;
  }
  if (content === "") own.pop();
  else own.push({ role: "assistant", content });
  if (running !== asked) return;
  running = null;
  at("send").textContent = "Send";
}

at("form").addEventListener("submit", (event) => {
  event.preventDefault();
  if (running) return running.abort();
  const said = at("said").value.trim();
  if (said === "") return;
  at("said").value = "";
  send(said);
});
at("said").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    at("form").requestSubmit();
  }
});
at("reset").addEventListener("click", () => {
  running?.abort();
  running = null;
  at("send").textContent = "Send";
  messages = [];
  at("turns").replaceChildren();
});
at("key").addEventListener("change", models);
models();
