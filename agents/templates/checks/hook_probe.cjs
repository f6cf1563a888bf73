// Calls functions of a compiled hook with a client that answers as scripted: node hook_probe.cjs JOB.json
// The job names the compiled module, the functions with arguments, and the scenarios. A scenario with
// arguments of its own calls no other functions than it has arguments for.
//
// Each answer says besides what the function asked the server for (`asked`), what of its surroundings the
// module looked at (`reads`: clock, environment, browser), what a second call gave where that was
// something else (`again`), and what it gave in other surroundings (`elsewhere`).
'use strict';
const fs = require('node:fs');
const path = require('node:path');
const vm = require('node:vm');
const Module = require('node:module');

const job = JSON.parse(fs.readFileSync(process.argv[2], 'utf8'));
const REPEATS = 2000;
// calls of each function that are made again, with a real server
const FEW = 4;
// no function needs so many for one answer
const MOST_CALLS = 5000;
let answer = { data: null, error: null, count: null };
let calls = [];
let asked = [];
let reads = new Set();
let endless = () => {};

// -- the module's surroundings -----------------------------------------------------------------------

// What gives the same to everybody at any time; whatever else a module looks up is told.
const HARMLESS = new Set(
  (
    'AbortController AbortSignal AggregateError Array ArrayBuffer BigInt Boolean DOMException DataView Error EvalError ' +
    'Float32Array Float64Array Infinity Int16Array Int32Array Int8Array Intl JSON Map NaN Number Object Promise Proxy ' +
    'RangeError ReferenceError Reflect RegExp Set String Symbol SyntaxError TextDecoder TextEncoder TypeError URIError ' +
    'URL URLSearchParams Uint16Array Uint32Array Uint8Array WeakMap WeakSet arguments clearTimeout console decodeURI ' +
    'decodeURIComponent encodeURI encodeURIComponent importMeta isFinite isNaN parseFloat parseInt queueMicrotask ' +
    'setTimeout structuredClone undefined'
  ).split(' '),
);
const DAY = 86400000;
const browser = { navigator: { webdriver: false, userAgent: 'Mozilla/5.0', language: 'de-DE', onLine: true }, location: new URL('https://app.clinic.org/analytics') };
// In which an answer must be the same, where the module looks at what is another there.
const ELSEWHERE = {
  'in production': { env: { NODE_ENV: 'production', CI: undefined } },
  'in a test': { env: { NODE_ENV: 'test', CI: 'true', VITEST: 'true' } },
  'in a browser': { ...browser, window: { ...browser }, document: {} },
  'in a driven browser': { navigator: { webdriver: true, userAgent: 'HeadlessChrome' }, window: {}, document: {} },
  'with chance at its least': { random: 0 },
  'with chance at its most': { random: 1 - Number.EPSILON },
};
for (const days of [1, 2, 3, 4, 5, 6, 31, 366, 3660, -3660]) ELSEWHERE[`${days} days on`] = { shift: days * DAY };
const LOOKED = { shift: /^the clock$/, random: /^chance$/, env: /env/ };
function matters(surroundings, looked) {
  const others = [...looked].filter((name) => !Object.values(LOOKED).some((known) => known.test(name)));
  return Object.keys(surroundings).some((kind) => (kind in LOOKED ? [...looked].some((name) => LOOKED[kind].test(name)) : others.length));
}

let world = {};
function told(name) {
  reads.add(name);
}

const env = new Proxy({}, {
  get(_target, name) {
    // a client of its own needs them
    if (!/URL|KEY/.test(String(name))) told(`process.env.${String(name)}`);
    return world.env && name in world.env ? world.env[name] : process.env[name];
  },
  has: () => true,
});
const ownProcess = new Proxy({}, {
  get(_target, name) {
    if (name === 'env') return env;
    told(`process.${String(name)}`);
    return process[name];
  },
});
class OwnDate extends Date {
  constructor(...given) {
    if (given.length) super(...given);
    else super(OwnDate.now());
  }
  static now() {
    told('the clock');
    return Date.now() + (world.shift ?? 0);
  }
}
const ownMath = Object.create(Math, { random: { value: () => (told('chance'), world.random ?? Math.random()) } });
const OWN = {
  process: () => ownProcess,
  // called without `new` it is the time as text
  Date: () => new Proxy(OwnDate, { apply: () => new OwnDate().toString() }),
  Math: () => ownMath,
  globalThis: () => scope,
  global: () => scope,
};
const scope = new Proxy({}, {
  has: (_target, name) => typeof name === 'string' && !HARMLESS.has(name),
  get(_target, name) {
    if (typeof name === 'symbol') return undefined;
    if (HARMLESS.has(name)) return globalThis[name];
    if (!(name in OWN)) told(`\`${name}\``);
    if (name in OWN) return OWN[name]();
    return name in world ? world[name] : globalThis[name];
  },
});

const home = path.dirname(process.argv[2]) + path.sep;
const compile = Module.prototype._compile;
Module.prototype._compile = function (content, filename, ...rest) {
  if (!filename.startsWith(home)) return compile.call(this, content, filename, ...rest);
  const text = `(function (surroundings) { with (surroundings) { return function (exports, require, module, __filename, __dirname) {${content}\n}; } })`;
  const inner = vm.runInThisContext(text, { filename })(scope);
  const require = (request) => this.require(request);
  return inner.call(this.exports, this.exports, require, this, filename, path.dirname(filename));
};
Error.prepareStackTrace = (error, frames) => {
  if (frames[0]?.getFileName()?.startsWith(home)) told('the stack');
  return `${error}\n    at ${frames.join('\n    at ')}`;
};

// -- the client --------------------------------------------------------------------------------------

// Every method returns the query itself; awaiting it gives the scenario's answer.
function query() {
  return new Proxy(function () {}, {
    get(_target, name) {
      if (name === 'then') {
        return (resolve, reject) => {
          if (calls.length > MOST_CALLS) return endless();
          if (answer.unreachable) return Promise.reject(new TypeError('fetch failed')).then(resolve, reject);
          return Promise.resolve(answer).then(resolve, reject);
        };
      }
      if (typeof name === 'symbol') return undefined;
      return (...args) => {
        calls.push([name, ...args.map((a) => (typeof a === 'function' ? 'function' : a))]);
        return query();
      };
    },
  });
}

// What bundlers give modules in place of `import.meta`.
globalThis.importMeta = {
  env: new Proxy({}, {
    get: (_target, name) => {
      if (!/URL|KEY/.test(String(name))) told(`import.meta.env.${String(name)}`);
      return world.env && name in world.env ? world.env[name] : String(name);
    },
  }),
};

// The client wants to know a WebSocket class, which Node has from 22 on; no query opens one.
globalThis.WebSocket ??= class {};
// Supabase's storage of sessions would warn of several clients.
function connect(url) {
  const settings = {
    auth: { persistSession: false, autoRefreshToken: false, storageKey: url },
    global: {
      fetch: (input, init) => {
        const place = new URL(typeof input === 'string' ? input : input.url);
        asked.push([init?.method ?? 'GET', place.pathname.replace(/^\/rest\/v1\//, '')]);
        if (asked.length > MOST_CALLS) endless();
        return fetch(input, init);
      },
    },
  };
  return require(job.client.library).createClient(url, job.client.key, settings);
}
const clients = {};
const current = () => {
  const url = answer.url ?? job.client.url;
  return (clients[url] ??= connect(url));
};
const client = job.client
  ? new Proxy({}, {
      get(_target, name) {
        const real = current();
        const value = real[name];
        return typeof value === 'function' ? value.bind(real) : value;
      },
    })
  : query();
const fake = new Proxy({}, {
  get: (_target, name) => (name === '__esModule' ? true : /^(get|create|use)[A-Z]/.test(String(name)) ? () => client : client),
  has: () => true,
});
const load = Module._load;
Module._load = function (request, ...rest) {
  if (!String(rest[0]?.filename).startsWith(home)) return load.call(this, request, ...rest);
  if (job.imports.includes(request) || /supabase/i.test(request)) return fake;
  if (Module.isBuiltin(request)) told(`\`${request}\``);
  return load.call(this, request, ...rest);
};

// -- calling -----------------------------------------------------------------------------------------

function shown(value) {
  return value === undefined ? 'undefined' : JSON.stringify(value);
}

async function attempt(fn, args) {
  const given = args.map((value) => (value === null ? undefined : structuredClone(value)));
  const stopped = new Promise((_resolve, reject) => {
    endless = () => reject(new Error(`asks again and again, ${MOST_CALLS} times`));
  });
  try {
    return { returned: shown(await Promise.race([fn(...given), stopped])) };
  } catch (error) {
    const told = { threw: String((error && error.message) || error) };
    return error instanceof Error || Object.prototype.toString.call(error) === '[object Error]' || (error && error.message)
      ? told
      : { ...told, nothing: error === undefined || error === null };
  }
}

function same(one, other) {
  return one.returned === other.returned && one.threw === other.threw;
}

/** [name, label, arguments, scenario] of every call. */
function* everyCall() {
  for (const { name, args } of job.functions) {
    for (const [label, scenario] of Object.entries(job.scenarios)) {
      if (scenario.args && !(name in scenario.args)) continue;
      yield [name, label, scenario.args?.[name] ?? args, scenario];
    }
  }
}

/** Some calls of each function: what holds of one answer mostly holds of all. */
function few(all) {
  if (!job.client) return [...all];
  const seen = {};
  return all.filter(([name]) => (seen[name] = (seen[name] ?? 0) + 1) <= FEW);
}

async function callOnce(hook, [name, , args, scenario]) {
  answer = scenario;
  calls = [];
  asked = [];
  if (typeof hook[name] !== 'function') return { missing: true, calls };
  return { ...(await attempt(hook[name], args)), calls, asked };
}

/** Whether many calls give what the first gave; not with a real server. */
async function repeated(hook, call, first) {
  for (let number = 1; number < REPEATS; number += 1) {
    const again = await callOnce(hook, call);
    if (!same(again, first)) return { ...again, calls: [], asked: [], after: number };
  }
  return undefined;
}

/** The module anew, without what earlier calls left in it. */
function loaded() {
  for (const file of Object.keys(require.cache)) if (file.startsWith(home)) delete require.cache[file];
  return require(job.module);
}

async function main() {
  let hook = require(job.module);
  const atImport = [...reads];
  const results = {};
  const done = [...everyCall()];
  for (const call of done) {
    // what an answer of another kind left behind must not hide what this one makes it ask
    if (!job.client) hook = loaded();
    reads = new Set(atImport);
    const found = await callOnce(hook, call);
    found.reads = [...reads];
    (results[call[0]] ??= {})[call[1]] = found;
  }
  const looked = new Set(done.flatMap(([name, label]) => results[name][label].reads));
  for (const call of few(done).reverse()) {
    const first = results[call[0]][call[1]];
    if (first.missing || /again and again/.test(first.threw ?? '')) continue;
    if (!job.client) {
      const again = call[1] === 'rows' ? await repeated(hook, call, first) : undefined;
      if (again) first.again = again;
      continue;
    }
    const again = await callOnce(hook, call);
    if (!same(again, first) || again.asked.length !== first.asked.length) first.again = again;
  }
  for (const [place, surroundings] of looked.size && job.client ? Object.entries(ELSEWHERE) : []) {
    if (!matters(surroundings, looked)) continue;
    world = surroundings;
    hook = loaded();
    for (const call of few(done)) {
      const first = results[call[0]][call[1]];
      if (first.elsewhere) continue;
      const other = await callOnce(hook, call);
      if (!same(other, first)) first.elsewhere = { ...other, place };
    }
  }
  // an open socket of the client must not keep the process
  process.stdout.write(JSON.stringify(results), () => process.exit(0));
}

main().catch((error) => {
  process.stderr.write(String((error && error.stack) || error));
  process.exit(1);
});
