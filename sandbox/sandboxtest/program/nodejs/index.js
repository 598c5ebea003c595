'use strict';
const fs = require('fs');

let count = 0;
let ticks = 0;
let ticker;
const hoard = [];
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

// write returns when everything is in the pipe, which may be full for a while.
function write(fd, data) {
  for (let at = 0; at < data.length;) {
    try {
      at += fs.writeSync(fd, data, at);
    } catch (e) {
      if (e.code !== 'EAGAIN') throw e;
    }
  }
}

const actions = {
  echo: (e) => e.value,
  fail: () => { throw new Error('on purpose'); },
  exit: (e) => process.exit(e.status),
  sleep: async (e) => { await sleep(e.ms); return 'slept'; },
  count: () => ++count,
  print: (e) => { for (const p of e.parts) write(p.err ? 2 : 1, Buffer.from(p.text)); },
  write: (e) => { fs.writeFileSync('/tmp/file', e.value); },
  read: () => fs.existsSync('/tmp/file') ? fs.readFileSync('/tmp/file', 'utf8') : null,
  env: () => ({ ...process.env }),
  where: () => process.cwd(),
  large: (e) => 'x'.repeat(e.bytes),
  length: (e) => e.value.length,
  tick: () => { ticker ??= setInterval(() => { ticks++; }, 5); return ticks; },
  memory: () => { for (;;) hoard.push(Buffer.alloc(1 << 20, 1)); },
  // What a sandbox must outlive, or must not let out.
  shell: (e) => {
    const r = require('child_process').spawnSync('/bin/sh', ['-c', e.value], { encoding: 'utf8' });
    return { status: r.status, out: r.stdout, err: r.stderr };
  },
  background: (e) => {
    require('child_process').spawn('/bin/sh', ['-c', e.value], { detached: true, stdio: 'ignore' }).unref();
  },
};

exports.handler = async (e) => {
  const result = await actions[e.do](e);
  return result === undefined ? null : result;
};

exports.broken = undefined;
