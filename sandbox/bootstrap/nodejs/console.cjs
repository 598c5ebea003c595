// Log lines as AWS writes them: time, request id, level, message, with tabs
// between. A newline in a message becomes a carriage return, so that one call
// stays one line.
'use strict';

const { format } = require('util');

const LEVELS = { log: 'INFO', debug: 'DEBUG', info: 'INFO', warn: 'WARN', error: 'ERROR', trace: 'TRACE' };

// state.requestId is undefined outside invocations, and shown so.
const state = { requestId: undefined };

function line(level, args) {
  const text = format(...args).replace(/\n/g, '\r');
  return `${new Date().toISOString()}\t${state.requestId}\t${level}\t${text}\n`;
}

function install() {
  const { stdout } = process;
  for (const method in LEVELS) {
    const level = LEVELS[method];
    if (method === 'trace') {
      console.trace = (...args) => {
        const here = { name: 'Trace', message: format(...args) };
        Error.captureStackTrace(here, console.trace);
        stdout.write(line(level, [here.stack]));
      };
      continue;
    }
    console[method] = (...args) => { stdout.write(line(level, args)); };
  }
}

module.exports = { install, line, state };
