// Owns as much of the editor's API as the chat participant and the commands of its buttons use; all is told to the test.
export const told = { send: () => undefined };

export class Disposable {
  constructor(dispose) {
    this.dispose = dispose;
  }
  static from(...rows) {
    return new Disposable(() => rows.forEach((row) => row.dispose()));
  }
}

export class EventEmitter {
  listeners = new Set();
  event = (listener) => {
    this.listeners.add(listener);
    return new Disposable(() => this.listeners.delete(listener));
  };
  fire(value) {
    [...this.listeners].forEach((listener) => listener(value));
  }
  dispose() {
    this.listeners.clear();
  }
}

export class CancellationTokenSource {
  #stops = new EventEmitter();
  token = { isCancellationRequested: false, onCancellationRequested: this.#stops.event };
  cancel() {
    this.token.isCancellationRequested = true;
    this.#stops.fire();
  }
}

export class Uri {
  constructor(text) {
    this.text = text;
  }
  static parse = (text) => new Uri(text);
  static from = ({ scheme, path }) => new Uri(`${scheme}:${path}`);
  with({ scheme }) {
    return new Uri(this.text.replace(/^[^:]*/, scheme));
  }
  toString() {
    return this.text;
  }
}

export class Location {
  constructor(uri, range) {
    Object.assign(this, { uri, range });
  }
}

export class MarkdownString {
  value = "";
  appendText(text) {
    this.value += text;
    return this;
  }
}

export class ThemeIcon {}
export class LanguageModelError extends Error {}
export const ProgressLocation = { Notification: 15 };
export const ConfigurationTarget = { Global: 1 };

const nothing = () => new Disposable(() => undefined);
const say = (level) => async (message) => {
  told.send({ message, level });
};
const registered = new Map();
export const setup = { serverPath: [], folder: "", trusted: true };

export const window = {
  activeTextEditor: undefined,
  showInformationMessage: say("information"),
  showWarningMessage: say("warning"),
  showErrorMessage: say("error"),
  showInputBox: async ({ prompt }) => {
    told.send({ inputBox: prompt });
  },
  setStatusBarMessage: nothing,
  onDidChangeActiveTextEditor: nothing,
  withProgress: async () => undefined,
};
export const workspace = {
  get isTrusted() {
    return setup.trusted;
  },
  get workspaceFolders() {
    return setup.folder === "" ? undefined : [{ uri: Uri.parse(setup.folder), name: "project", index: 0 }];
  },
  getWorkspaceFolder: () => undefined,
  getConfiguration: () => ({
    get: (key) => (key === "server.path" ? setup.serverPath : undefined),
    inspect: () => undefined,
  }),
  asRelativePath: (uri) => `${uri}`.slice(setup.folder.length + 1),
  registerTextDocumentContentProvider: nothing,
  onDidChangeTextDocument: nothing,
  onDidCloseTextDocument: nothing,
};
export const commands = {
  registerCommand: (name, run) => {
    registered.set(name, run);
    return new Disposable(() => registered.delete(name));
  },
  executeCommand: async (name, ...given) => {
    const run = registered.get(name);
    if (run === undefined) {
      told.send({ command: name, given: given.map(String) });
    }
    return run?.(...given);
  },
  known: (name) => registered.has(name),
};
export const languages = { getDiagnostics: () => [] };
export const lm = { selectChatModels: async () => [] };
export const extensions = { getExtension: () => undefined };
export const chat = {
  createChatParticipant: (id, requestHandler) => {
    chat.participant = { id, requestHandler, dispose: () => undefined };
    return chat.participant;
  },
};
