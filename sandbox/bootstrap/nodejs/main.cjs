// Runs a program for which nobody named a handler. A file that exports
// `handler` is a function's: it is called with the payload. Of any other file
// the evaluation is the run, and it ends when the event loop is empty, as
// under the node command.
'use strict';

const { Console } = require('console');
const fs = require('fs');
const Module = require('module');
const path = require('path');
const { Writable } = require('stream');
const { pathToFileURL } = require('url');
const vm = require('vm');
const { RuntimeError } = require('./errors.cjs');
const { isStreaming } = require('./streaming.cjs');

const NAMES = ['main', 'index'];
const EXTENSIONS = ['.mjs', '.cjs', '.js'];

// Exit is thrown to leave the program at its process.exit.
const EXIT = Symbol('exit');

function handler(event, context, callback) {
  plainConsole();
  const program = new Program(context, callback);
  program.guard();
  program.run(event).catch((err) => program.fail(err));
}

class Program {
  constructor(context, callback) {
    this.context = context;
    this.callback = callback;
  }

  async run(event) {
    const file = find(process.env.LAMBDA_TASK_ROOT || '/var/task');
    process.argv = [process.argv[0], file];
    const loaded = await load(file);
    const call = exported(loaded);
    if (!call) {
      // The program ends with the event loop, with the exit code it has set.
      process.prependListener('beforeExit', () => this.exit(process.exitCode));
      return;
    }
    if (isStreaming(call)) {
      throw new RuntimeError('HandlerNotFound', 'handler answers with a stream: name it, with --handler');
    }
    const returned = call(event, this.context, this.callback);
    if (returned !== null && returned !== undefined && typeof returned.then === 'function') {
      this.context.succeed(await returned);
    } else if (returned !== undefined) {
      this.context.succeed(returned);
    }
  }

  // guard takes the place of the runtime's own guard: what nobody caught fails
  // the program, and process.exit ends it.
  guard() {
    process.removeAllListeners('uncaughtException');
    process.removeAllListeners('unhandledRejection');
    const failed = (err) => { if (err !== EXIT) this.fail(err); };
    process.on('uncaughtException', failed);
    process.on('unhandledRejection', failed);
    process.exit = (code) => {
      this.exit(code === undefined ? process.exitCode : code);
      throw EXIT;
    };
  }

  exit(code) {
    const status = Number(code || 0);
    if (status === 0) this.context.succeed(null);
    else this.fail(new RuntimeError('ExitError', `the program exited with status ${status}`));
  }

  fail(err) {
    if (err === EXIT) return;
    console.error = () => {}; // the caller gets the error; its output is the program's
    this.context.fail(syntaxError(err));
  }
}

// plainConsole writes what the program prints as it is.
function plainConsole() {
  globalThis.console = plain || new Console(process.stdout, process.stderr);
}

let plain = null; // made ahead

// rehearse does, while there is time, what takes long the first time: the
// console opens standard error.
function rehearse(stage) {
  plain = new Console(process.stdout, process.stderr);
  const nowhere = new Writable({ write(_chunk, _encoding, done) { done(); } });
  new Console(nowhere).log('%s %j', 'rehearsal', {});
  isScript(path.join(stage, 'common.cjs'));
}

function find(root) {
  for (const name of NAMES) {
    const files = EXTENSIONS.map((e) => path.join(root, name + e)).filter((f) => fs.existsSync(f));
    // One source under two names: nobody knows which kind of module it is.
    if (files.length === 2 && files[1].endsWith('.cjs')) return isScript(files[1]) ? files[1] : files[0];
    if (files.length > 0) return files[0];
  }
  throw new RuntimeError('ImportModuleError', `the code has none of ${NAMES.join('.*, ')}.*: name a handler`);
}

// isScript reports whether a file can be a CommonJS module.
function isScript(file) {
  try {
    new vm.Script(Module.wrap(fs.readFileSync(file, 'utf8').replace(/^#!.*/, '')));
    return true;
  } catch {
    return false;
  }
}

async function load(file) {
  if (file.endsWith('.mjs')) return import(pathToFileURL(file).href);
  try {
    return Module._load(file, null, true); // as the main module
  } catch (err) {
    if (err && (err.code === 'ERR_REQUIRE_ESM' || err.code === 'ERR_REQUIRE_ASYNC_MODULE')) {
      return import(pathToFileURL(file).href);
    }
    throw err;
  }
}

function exported(loaded) {
  for (const from of [loaded, loaded && loaded.default]) {
    if (from && typeof from.handler === 'function') return from.handler;
  }
  return null;
}

function syntaxError(err) {
  if (!(err instanceof SyntaxError)) return err;
  const named = new RuntimeError('UserCodeSyntaxError', String(err));
  named.stack = `${named.name}: ${named.message}\n${err.stack}`;
  return named;
}

module.exports = { handler, rehearse };
