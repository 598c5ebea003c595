// Runs everything that the first invocation will need, once, while there is
// time: what has been loaded and compiled then is not paid for later.
'use strict';

const path = require('path');
const log = require('./console.cjs');
const { Reader } = require('./client.cjs');
const { Runtime } = require('./runtime.cjs');
const { load } = require('./loader.cjs');
const { RuntimeError, toLog } = require('./errors.cjs');

const ANSWER = 'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9\r\n' +
  'Lambda-Runtime-Aws-Request-Id: rehearsal\r\nLambda-Runtime-Deadline-Ms: 0\r\n\r\n{"a":"b"}';

async function run() {
  const stage = path.join(__dirname, 'stage');
  const client = { request: async () => ({ status: 202 }), rest() {} };
  const runtime = new Runtime(client);
  for (const name of ['common.handler', 'module.handler']) {
    runtime.handler = await load(stage, name, __dirname);
    const answers = [];
    const reader = new Reader((answer) => answers.push(answer));
    reader.push(Buffer.from(ANSWER));
    await runtime.invoke(answers[0]);
  }
  require('./main.cjs').rehearse(stage);
  log.line('INFO', ['%s %j', 'rehearsal', {}]);
  toLog(new RuntimeError('Rehearsal', ''));
  // Nobody is to find the stage, or that there was a rehearsal.
  for (const file of Object.keys(require.cache)) {
    if (file === __filename || file.startsWith(stage + path.sep)) delete require.cache[file];
  }
  delete process.env._X_AMZN_TRACE_ID;
  log.state.requestId = undefined;
}

module.exports = { run };
