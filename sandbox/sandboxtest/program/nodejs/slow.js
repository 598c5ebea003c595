'use strict';
// The first initialisation takes too long; the one after it finds its mark.
const fs = require('fs');
if (!fs.existsSync('/tmp/tried')) {
  fs.writeFileSync('/tmp/tried', '');
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 60000);
}
exports.handler = async () => 'at last';
