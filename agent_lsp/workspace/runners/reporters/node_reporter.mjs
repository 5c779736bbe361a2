// Owns what `node --test` tells of a run: one JSON line per test, with its file, names, outcome and failure text.
import { resolve } from 'node:path';

const LIMIT = 4000;
const kept = (text) => (text.length > LIMIT ? text.slice(-LIMIT) : text);

function outcomeOf(type, data) {
  if (data.skip !== undefined) return 'skipped';
  if (data.todo !== undefined) return type === 'test:pass' ? 'xpassed' : 'xfailed';
  return type === 'test:pass' ? 'passed' : 'failed';
}

function messageOf(error) {
  if (error === undefined) return '';
  const cause = error.cause ?? error;
  return kept(String(cause?.stack ?? cause?.message ?? cause));
}

export default async function* report(source) {
  const open = new Map(); // file -> names of the tests that have begun, by nesting
  const errors = new Map(); // file -> the end of what it wrote to stderr
  let cases = 0;
  for await (const { type, data } of source) {
    const file = data?.file ?? '';
    if (type === 'test:stderr') {
      errors.set(file, kept((errors.get(file) ?? '') + data.message));
    } else if (type === 'test:start') {
      const names = open.get(file) ?? [];
      names.length = data.nesting;
      names.push(data.name);
      open.set(file, names);
    } else if (type === 'test:pass' || type === 'test:fail') {
      const error = data.details?.error;
      const whole = data.nesting === 0 && file !== '' && resolve(data.name) === file;
      const suite = data.details?.type === 'suite';
      if (suite && (type === 'test:pass' || error?.failureType === 'subtestsFailed')) continue;
      cases += 1;
      const names = whole ? [] : [...(open.get(file) ?? []).slice(0, data.nesting), data.name];
      yield JSON.stringify({
        kind: 'case',
        file,
        names,
        outcome: suite ? 'error' : outcomeOf(type, data),
        message: type === 'test:pass' ? '' : (whole && errors.get(file)) || messageOf(error),
        line: data.line ?? 0,
        seconds: (data.details?.duration_ms ?? 0) / 1000,
      }) + '\n';
    }
  }
  yield JSON.stringify({ kind: 'end', cases }) + '\n';
}
