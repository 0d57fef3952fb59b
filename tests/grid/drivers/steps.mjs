// The operations of the grid, once for both TypeScript SDKs: the counterpart of steps.py, which says what a job is.
import { createRequire } from "node:module";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

export const MODEL_SAYS = "Paris";

// The packages lie in a folder of their own, not beside this file.
export const require = createRequire(join(process.env.GRID_PACKAGES, "package.json"));

export class Heard {
  progress = [];
  logs = [];
  updates = [];
  onProgress = ({ progress }) => this.progress.push(progress);

  async until(enough, seconds) {
    const end = Date.now() + seconds * 1000;
    while (!enough() && Date.now() < end) await sleep(10);
  }
}

export function words(result) {
  const text = result.content.filter((part) => part.type === "text").map((part) => part.text).join(" ");
  return result.isError ? `error: ${text}` : text;
}

const call = async (peer, wish) => {
  await sleep((wish.settle_seconds ?? 0) * 1000);
  return words(await peer.client.callTool({ name: wish.tool, arguments: wish.arguments }));
};

const STEPS = {
  list: async (peer) => (await peer.client.listTools()).tools.map((tool) => tool.name).join(" "),
  call,
  progress: async (peer, wish) => {
    const result = await peer.callTool({ name: wish.tool, arguments: wish.arguments }, { onprogress: peer.heard.onProgress });
    return `progress ${peer.heard.progress.join(" ")}; ${words(result)}`;
  },
  log: async (peer, wish) => {
    await peer.wantLogs();
    await call(peer, wish);
    await peer.heard.until(() => peer.heard.logs.some((each) => String(each).includes(wish.word)), 2);
    return `logs: ${peer.heard.logs.join("; ")}`;
  },
  cancel: async (peer, wish) => {
    const stop = new AbortController();
    const options = { signal: stop.signal, onprogress: peer.heard.onProgress };
    const sent = peer.callTool({ name: wish.tool, arguments: wish.arguments }, options).catch(() => undefined);
    // Where no progress arrives, the call has been under way for a while all the same.
    await peer.heard.until(() => peer.heard.progress.length > 0, 1.5);
    stop.abort("The grid cancels.");
    await sent;
    return call(peer, wish.probe);
  },
  form: call,
  url: call,
  sampling: call,
  roots: call,
  read: async (peer, wish) => (await peer.client.readResource({ uri: wish.uri })).contents[0].text,
  subscribe: async (peer, wish) => {
    await peer.watch(wish.uri);
    await call(peer, wish);
    await peer.heard.until(() => peer.heard.updates.length > 0, 3);
    return `updated ${peer.heard.updates.join(" ")}`;
  },
  prompt: async (peer, wish) => (await peer.client.getPrompt({ name: wish.prompt, arguments: wish.arguments })).messages[0].content.text,
  complete: async (peer, wish) => {
    const asked = { ref: { type: "ref/prompt", name: wish.prompt }, argument: wish.argument };
    return (await peer.client.complete(asked)).completion.values.join(" ");
  },
};

async function one(job, connect, name, wish) {
  const tooLate = sleep(job.seconds * 1000, { error: `no end within ${job.seconds} s` }, { ref: false });
  const peer = { heard: new Heard() };
  const done = (async () => {
    await connect(job, wish, peer);
    return { said: await STEPS[name](peer, wish) };
  })();
  try {
    return await Promise.race([done, tooLate]);
  } catch (error) {
    const cause = error.cause ? ` (${error.cause.message ?? error.cause})` : "";
    return { error: `${error.name}: ${error.message}${cause}`.replace(/\s+/g, " ").slice(0, 300) };
  } finally {
    await Promise.race([Promise.resolve(peer.client?.close()).catch(() => undefined), sleep(2000, undefined, { ref: false })]);
  }
}

export async function run(connect) {
  let text = "";
  for await (const chunk of process.stdin) text += chunk;
  const job = JSON.parse(text);
  const seen = {};
  for (const [name, wish] of Object.entries(job.plan)) seen[name] = await one(job, connect, name, wish);
  process.stdout.write(JSON.stringify(seen), () => process.exit(0));
}
