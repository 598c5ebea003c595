// The Node.js runtime. It is started for a function (then the environment is
// complete), or ahead of time (THERMOCLINE_WAIT=1), when it waits to be told.
'use strict';

const Module = require('module');
const { Client } = require('./client.cjs');
const log = require('./console.cjs');
const { Runtime } = require('./runtime.cjs');
const { load } = require('./loader.cjs');
const streaming = require('./streaming.cjs');

async function main() {
  const { env } = process;
  const client = new Client(env.AWS_LAMBDA_RUNTIME_API);
  const runtime = new Runtime(client);
  log.install();
  streaming.install();
  if (env.THERMOCLINE_WAIT) await bind(client);
  for (const name of Object.keys(env)) {
    if (name.startsWith('THERMOCLINE_')) delete env[name];
  }
  runtime.guard();
  const root = env.LAMBDA_TASK_ROOT || '/var/task';
  try {
    // Also when it is the working directory already: the function's code may
    // have been mounted over it since.
    process.chdir(root);
    const handler = await load(root, env._HANDLER || '', env.LAMBDA_RUNTIME_DIR || '/var/runtime');
    await new Promise(setImmediate); // rejections while loading come up now
    runtime.handler = handler;
  } catch (err) {
    runtime.die('Uncaught Exception', err, 129);
    return;
  }
  if (!runtime.dying) await runtime.run();
}

// bind waits for the function and takes over its environment. It rehearses an
// invocation first: whoever asks for a binding is ready for one.
async function bind(client) {
  await require('./rehearsal.cjs').run();
  const { status, body } = await client.request('GET', '/thermocline/v1/binding');
  if (status !== 200) throw new Error(`the Runtime API answered ${status} to binding`);
  const message = JSON.parse(body);
  const { env } = process;
  for (const name of Object.keys(env)) {
    if (!(name in message.env)) delete env[name];
  }
  const modulePath = env.NODE_PATH;
  Object.assign(env, message.env);
  env._HANDLER = message.handler;
  if (env.NODE_PATH !== modulePath) Module._initPaths();
  client.rest();
}

main().catch((err) => {
  process.stderr.write(`the runtime cannot go on: ${err.message}\n`);
  process.exit(1);
});
