// Calls functions of a compiled hook with the client module that it imports: node client_probe.cjs JOB.json
// Says whom it asked, with which key, and what of JavaScript's own objects it changed.
'use strict';
const fs = require('node:fs');
const path = require('node:path');
const Module = require('node:module');

const job = JSON.parse(fs.readFileSync(process.argv[2], 'utf8'));
const home = path.dirname(process.argv[2]) + path.sep;
const asked = [];
const name = (place) => {
  try {
    return new URL(String(place?.url ?? place), 'http://own.invalid').origin;
  } catch {
    return String(place);
  }
};

// -- what a build or a browser has ---------------------------------------------------------------------

function setting(variable) {
  if (typeof variable !== 'string') return undefined;
  if (/URL/i.test(variable)) return job.url;
  if (/SERVICE|SECRET|ADMIN/i.test(variable)) return job.service;
  return /KEY|ANON|PUBLISHABLE/i.test(variable) ? job.key : undefined;
}
const env = new Proxy({}, { get: (_target, variable) => setting(variable), has: () => true });
globalThis.importMeta = { env };
Object.defineProperty(process, 'env', { value: env, configurable: true });

const send = globalThis.fetch;
globalThis.fetch = (input, init) => {
  const headers = new Headers(init?.headers ?? input?.headers);
  // judged here: keys in what a program prints are masked
  const known = headers.get('apikey') === job.key && headers.get('authorization') === `Bearer ${job.key}`;
  asked.push({ origin: name(input), known });
  return send(input, init);
};
const told = (place) => void asked.push({ origin: name(place) });
class Told {
  constructor(place) {
    if (place) told(place);
  }
  open(_method, place) {
    told(place);
  }
  set src(place) {
    told(place);
  }
  addEventListener() {}
  setRequestHeader() {}
  send() {}
  close() {}
}
for (const way of ['WebSocket', 'XMLHttpRequest', 'EventSource', 'Image']) globalThis[way] = Told;
const browser = globalThis.navigator ?? {};
browser.sendBeacon = (place) => (told(place), true);
Object.defineProperty(globalThis, 'navigator', { value: browser, configurable: true });

// -- JavaScript's own objects --------------------------------------------------------------------------

const BUILT_IN = ['Object', 'Function', 'Array', 'String', 'Number', 'Boolean', 'Date', 'RegExp', 'Promise', 'Map', 'Set', 'Error', 'JSON', 'Math', 'Reflect', 'Symbol', 'URL', 'Headers', 'Request', 'Response'];
function standing() {
  const found = new Map();
  const keep = (label, object) => {
    for (const key of Reflect.ownKeys(object)) {
      // some are made at the first look
      if (object === globalThis) void object[key];
      const slot = Object.getOwnPropertyDescriptor(object, key);
      found.set(`${label}.${String(key)}`, slot.value ?? slot.get);
    }
  };
  for (const one of BUILT_IN) {
    keep(one, globalThis[one]);
    if (globalThis[one].prototype) keep(`${one}.prototype`, globalThis[one].prototype);
  }
  keep('globalThis', globalThis);
  keep('console', console);
  return found;
}

const library = require(job.library);
const load = Module._load;
Module._load = function (request, ...rest) {
  const own = String(rest[0]?.filename).startsWith(home);
  return own && request.startsWith('@supabase/') ? library : load.call(this, request, ...rest);
};

async function main() {
  const before = standing();
  const hook = require(job.module);
  for (const { name: called, args } of job.functions) {
    try {
      await hook[called](...args.map((value) => value ?? undefined));
    } catch {
      // what it gives is judged elsewhere
    }
  }
  // what it began and does not wait for
  await new Promise((resolve) => setTimeout(resolve, 100));
  const after = standing();
  const changed = [...after.keys(), ...before.keys()].filter((key) => !before.has(key) || !Object.is(before.get(key), after.get(key)));
  process.stdout.write(JSON.stringify({ asked, changed: [...new Set(changed)] }), () => process.exit(0));
}

main().catch((error) => {
  process.stderr.write(String((error && error.stack) || error));
  process.exit(1);
});
