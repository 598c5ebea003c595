// Finds and loads the handler that _HANDLER names.
'use strict';

const fs = require('fs');
const Module = require('module');
const path = require('path');
const { pathToFileURL } = require('url');
const { RuntimeError } = require('./errors.cjs');

// load resolves to the handler's function. name is [dir/]file.export[.export].
async function load(root, name, runtimeDir) {
  if (name.includes('..')) {
    throw new RuntimeError('MalformedHandlerName',
      `'${name}' is not a valid handler name. Use absolute paths when specifying root directories in handler names.`);
  }
  const base = path.basename(name);
  const dir = name.slice(0, name.length - base.length);
  const dot = base.indexOf('.');
  if (dot < 0) throw new RuntimeError('MalformedHandlerName', 'Bad handler');

  const loaded = await loadModule(root, dir, base.slice(0, dot), runtimeDir);
  let handler = loaded;
  for (const key of base.slice(dot + 1).split('.')) {
    handler = handler === undefined || handler === null ? undefined : handler[key];
  }
  if (handler === undefined || handler === null) {
    throw new RuntimeError('HandlerNotFound', `${name} is undefined or not exported`);
  }
  if (typeof handler !== 'function') {
    throw new RuntimeError('HandlerNotFound', `${name} is not a function`);
  }
  return handler;
}

async function loadModule(root, dir, name, runtimeDir) {
  // The name is not that of a file that exists: it is what AWS's own loader is
  // called, and appears in error messages.
  const require = Module.createRequire(path.join(runtimeDir, 'index.mjs'));
  try {
    const file = resolve(require, path.resolve(root, dir), root, name);
    return await loadFile(require, file);
  } catch (err) {
    if (err instanceof SyntaxError) {
      const wrapped = new RuntimeError('UserCodeSyntaxError', String(err));
      wrapped.stack = `${wrapped.name}: ${wrapped.message}\n${err.stack}`;
      throw wrapped;
    }
    if (err && (err.code === 'MODULE_NOT_FOUND' || err.code === 'ERR_MODULE_NOT_FOUND')) {
      throw new RuntimeError('ImportModuleError', String(err));
    }
    throw err;
  }
}

// resolve returns the file of the module: that name exactly, or with one of
// three extensions, or whatever Node.js finds for the bare name.
function resolve(require, dir, root, name) {
  for (const extension of ['', '.js', '.mjs', '.cjs']) {
    const file = path.join(dir, name) + extension;
    if (isFile(file)) return file;
  }
  return require.resolve(name, { paths: [root, dir] });
}

async function loadFile(require, file) {
  if (file.endsWith('.mjs') || (file.endsWith('.js') && isModulePackage(path.dirname(file)))) {
    return import(pathToFileURL(file).href);
  }
  try {
    return require(file);
  } catch (err) {
    if (err && (err.code === 'ERR_REQUIRE_ESM' || err.code === 'ERR_REQUIRE_ASYNC_MODULE')) {
      return import(pathToFileURL(file).href);
    }
    throw err;
  }
}

// isModulePackage reports whether the nearest package.json says type: module.
function isModulePackage(dir) {
  for (;;) {
    const file = path.join(dir, 'package.json');
    if (isFile(file)) {
      try {
        return JSON.parse(fs.readFileSync(file, 'utf8')).type === 'module';
      } catch {
        return false; // Node.js itself will complain when it matters
      }
    }
    const parent = path.dirname(dir);
    if (parent === dir || path.basename(dir) === 'node_modules') return false;
    dir = parent;
  }
}

function isFile(file) {
  const stat = fs.statSync(file, { throwIfNoEntry: false });
  return stat !== undefined && stat.isFile();
}

module.exports = { load };
