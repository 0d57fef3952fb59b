// The official TypeScript SDK 2.x as a client of the grid, in the mode that the job names.
import { MODEL_SAYS, require, run } from "./steps.mjs";

const { Client, SSEClientTransport, StreamableHTTPClientTransport } = require("@modelcontextprotocol/client");
const { StdioClientTransport } = require("@modelcontextprotocol/client/stdio");

function transport(job) {
  if (job.transport === "stdio") {
    const [command, ...args] = job.command;
    return new StdioClientTransport({ command, args, stderr: "ignore" });
  }
  const options = { requestInit: { headers: job.token ? { Authorization: `Bearer ${job.token}` } : {} } };
  const Kind = job.transport === "sse" ? SSEClientTransport : StreamableHTTPClientTransport;
  return new Kind(new URL(job.url), options);
}

async function connect(job, wish, peer) {
  const capabilities = { sampling: {}, elicitation: { form: {}, url: {} }, roots: {} };
  const isLegacy = job.mode === "legacy";
  const versionNegotiation = { mode: isLegacy ? "legacy" : { pin: job.mode } };
  const client = new Client({ name: "grid", version: "1" }, { capabilities, versionNegotiation });
  client.setRequestHandler("elicitation/create", () => ({ action: "accept", content: wish.answer }));
  client.setRequestHandler("sampling/createMessage", () => ({
    role: "assistant",
    content: { type: "text", text: MODEL_SAYS },
    model: "grid",
  }));
  client.setRequestHandler("roots/list", () => ({ roots: [{ uri: job.root, name: "project" }] }));
  client.setNotificationHandler("notifications/message", ({ params }) => peer.heard.logs.push(params.data));
  client.setNotificationHandler("notifications/resources/updated", ({ params }) => peer.heard.updates.push(params.uri));
  await client.connect(transport(job));
  peer.client = client;
  peer.callTool = (params, options) => client.callTool(params, options);
  // A modern request says what it wants to hear; a legacy server is told once.
  peer.wantLogs = async () => {
    if (isLegacy) return client.setLoggingLevel("debug");
    const plain = client.callTool.bind(client);
    client.callTool = (params, options) => plain({ ...params, _meta: { "io.modelcontextprotocol/logLevel": "debug" } }, options);
  };
  peer.watch = (uri) => (isLegacy ? client.subscribeResource({ uri }) : client.listen({ resourceSubscriptions: [uri] }));
}

await run(connect);
