// Owns a client of the real server over its pipes, with as much of vscode-languageclient's interface as is used.
import { spawn } from "node:child_process";
import { setup, told, workspace } from "vscode";

export const State = { Stopped: 1, Running: 2, Starting: 3 };
export const MessageType = { Error: 1, Warning: 2, Info: 3 };
export const CloseAction = { DoNotRestart: 1, Restart: 2 };
export const ErrorAction = { Continue: 1, Shutdown: 2 };
export const RevealOutputChannelOn = { Never: 4 };
export const ExecuteCommandRequest = { type: "workspace/executeCommand" };
export const ShowMessageNotification = { type: "window/showMessage" };
export class RequestType {
  constructor(method) {
    this.method = method;
  }
}

/** Messages of one method that wait to be let through. */
export const held = { method: undefined, messages: [] };

const name = (method) => (typeof method === "string" ? method : method.method);

export class LanguageClient {
  handlers = new Map();
  waiting = new Map();
  features = [];
  states = [];
  number = 0;
  rest = Buffer.alloc(0);
  running = false;

  constructor(_id, _name, { run }, options) {
    Object.assign(this, { run, options });
  }
  registerFeature(feature) {
    this.features.push(feature);
  }
  onDidChangeState(listener) {
    this.states.push(listener);
  }
  onNotification(method, handler) {
    this.handlers.set(name(method), handler);
  }
  onRequest(method, handler) {
    this.handlers.set(name(method), handler);
  }
  isRunning() {
    return this.running;
  }

  async start() {
    this.process = spawn(this.run.command, this.run.args, { stdio: ["pipe", "pipe", "inherit"] });
    this.process.stdout.on("data", (data) => this.take(data));
    this.process.on("exit", () => this.ended());
    const capabilities = { workspace: { configuration: true, applyEdit: true } };
    this.features.forEach((feature) => feature.fillClientCapabilities(capabilities));
    const folders = workspace.workspaceFolders.map(({ uri, name: label }) => ({ uri: `${uri}`, name: label }));
    await this.sendRequest("initialize", { processId: process.pid, rootUri: setup.folder, workspaceFolders: folders, capabilities });
    this.sendNotification("initialized", {});
    this.running = true;
    this.states.forEach((listener) => listener({ newState: State.Running }));
  }

  async dispose() {
    this.leaving = true;
    await this.sendRequest("shutdown", null);
    this.sendNotification("exit", null);
    await new Promise((resolve) => this.process.on("exit", resolve));
  }

  sendRequest(method, params) {
    const id = ++this.number;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      this.write({ id, method: name(method), params });
    });
  }
  sendNotification(method, params) {
    this.write({ method: name(method), params });
  }

  ended() {
    this.running = false;
    this.waiting.forEach(({ reject }) => reject(new Error("the connection is closed")));
    if (!this.leaving) {
      void this.options.errorHandler.closed();
    }
  }

  write(message) {
    const body = JSON.stringify({ jsonrpc: "2.0", ...message });
    this.process.stdin.write(`Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
  }

  take(data) {
    this.rest = Buffer.concat([this.rest, data]);
    for (;;) {
      const end = this.rest.indexOf("\r\n\r\n");
      const size = Number(/Content-Length: (\d+)/i.exec(this.rest.toString("latin1", 0, Math.max(end, 0)))?.[1]);
      if (end < 0 || this.rest.length < end + 4 + size) {
        return;
      }
      const body = this.rest.toString("utf8", end + 4, end + 4 + size);
      this.rest = this.rest.subarray(end + 4 + size);
      void this.handle(JSON.parse(body));
    }
  }

  async handle(message) {
    const { id, method, params, result, error } = message;
    if (method !== undefined && held.method === method) {
      held.messages.push(() => this.handle(message));
      told.send({ held: method });
      return;
    }
    if (method === undefined) {
      const { resolve, reject } = this.waiting.get(id);
      this.waiting.delete(id);
      return error === undefined ? resolve(result) : reject(new Error(error.message));
    }
    const { configuration } = this.options.middleware.workspace;
    const answer = method === "workspace/configuration" ? configuration(params) : await this.handlers.get(method)?.(params);
    if (id !== undefined) {
      this.write({ id, result: answer ?? null });
    }
  }
}
