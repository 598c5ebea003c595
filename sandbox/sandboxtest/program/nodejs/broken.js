'use strict';
console.log('about to break');
throw new Error('cannot load');
