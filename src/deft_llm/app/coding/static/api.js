// Questions to the server that this page came from.

const BASE = new URL("api/", new URL("./", import.meta.url));

function address(path, query = {}) {
  const url = new URL(path, BASE);
  for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
  return url;
}

async function answerOf(response) {
  if (response.ok) return response;
  let text = `The server answered ${response.status}.`;
  try {
    text = (await response.json()).error ?? text;
  } catch { /* no JSON: the status says it */ }
  throw new Error(text);
}

export async function get(path, query) {
  return (await answerOf(await fetch(address(path, query)))).json();
}

export async function bytes(path, query) {
  return (await answerOf(await fetch(address(path, query)))).arrayBuffer();
}

export async function send(method, path, body, { query = {}, keepalive = false } = {}) {
  const raw = body instanceof Blob;
  const options = { method, keepalive, body: raw ? body : JSON.stringify(body) };
  return (await answerOf(await fetch(address(path, query), options))).json();
}

export const exportAddress = (query) => address("export", query).href;
