// Owns as much of the Python extension's interface as is used: the interpreter that a test has chosen, if it has.
const { Uri } = require("vscode");

exports.activate = () => ({
  environments: {
    getActiveEnvironmentPath: () => ({ path: globalThis.chosenPython ?? "" }),
    resolveEnvironment: async ({ path }) => (path === "" ? undefined : { executable: { uri: Uri.file(path) } }),
  },
});
