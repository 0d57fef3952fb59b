// The official TypeScript SDK 1.x as a client of the grid.
import { MODEL_SAYS, require, run } from "./steps.mjs";

const { Client } = require("@modelcontextprotocol/sdk/client/index.js");
const { SSEClientTransport } = require("@modelcontextprotocol/sdk/client/sse.js");
const { StdioClientTransport } = require("@modelcontextprotocol/sdk/client/stdio.js");
const { StreamableHTTPClientTransport } = require("@modelcontextprotocol/sdk/client/streamableHttp.js");
const schemas = require("@modelcontextprotocol/sdk/types.js");

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
  const client = new Client({ name: "grid", version: "1" }, { capabilities });
  client.setRequestHandler(schemas.ElicitRequestSchema, () => ({ action: "accept", content: wish.answer }));
  client.setRequestHandler(schemas.CreateMessageRequestSchema, () => ({
    role: "assistant",
    content: { type: "text", text: MODEL_SAYS },
    model: "grid",
  }));
  client.setRequestHandler(schemas.ListRootsRequestSchema, () => ({ roots: [{ uri: job.root, name: "project" }] }));
  client.setNotificationHandler(schemas.LoggingMessageNotificationSchema, ({ params }) => peer.heard.logs.push(params.data));
  client.setNotificationHandler(schemas.ResourceUpdatedNotificationSchema, ({ params }) => peer.heard.updates.push(params.uri));
  await client.connect(transport(job));
  peer.client = client;
  peer.callTool = (params, options) => client.callTool(params, undefined, options);
  peer.wantLogs = () => client.setLoggingLevel("debug");
  peer.watch = (uri) => client.subscribeResource({ uri });
}

await run(connect);
