// Calls functions of a compiled hook with a client that answers as scripted: node hook_probe.cjs JOB.json
// The job names the compiled module, the functions with arguments, and the scenarios. A scenario with
// arguments of its own calls no other functions than it has arguments for.
'use strict';
const fs = require('node:fs');
const Module = require('node:module');

const job = JSON.parse(fs.readFileSync(process.argv[2], 'utf8'));
let answer = { data: null, error: null, count: null };
let calls = [];

// Every method returns the query itself; awaiting it gives the scenario's answer.
function query() {
  return new Proxy(function () {}, {
    get(_target, name) {
      if (name === 'then') {
        return (resolve, reject) => {
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
globalThis.importMeta = { env: new Proxy({}, { get: (_target, name) => String(name) }) };

// The client wants to know a WebSocket class, which Node has from 22 on; no query opens one.
globalThis.WebSocket ??= class {};
const real = job.client
  ? require(job.client.library).createClient(job.client.url, job.client.key, {
      auth: { persistSession: false, autoRefreshToken: false },
    })
  : null;
const client = real ?? query();
const fake = new Proxy({}, {
  get: (_target, name) => (name === '__esModule' ? true : /^(get|create|use)[A-Z]/.test(String(name)) ? () => client : client),
  has: () => true,
});
const load = Module._load;
Module._load = function (request, ...rest) {
  if (/node_modules/.test(String(rest[0]?.filename))) return load.call(this, request, ...rest);
  const ours = request === job.import || /supabase/i.test(request);
  return ours ? fake : load.call(this, request, ...rest);
};

async function attempt(fn, args) {
  try {
    const value = await fn(...args);
    return { returned: value === undefined ? 'undefined' : JSON.stringify(value) };
  } catch (error) {
    return { threw: String((error && error.message) || error) };
  }
}

async function main() {
  const hook = require(job.module);
  const results = {};
  for (const { name, args } of job.functions) {
    results[name] = {};
    for (const [label, scenario] of Object.entries(job.scenarios)) {
      if (scenario.args && !(name in scenario.args)) continue;
      answer = scenario;
      calls = [];
      const given = (scenario.args?.[name] ?? args).map((value) => (value === null ? undefined : value));
      results[name][label] =
        typeof hook[name] === 'function' ? await attempt(hook[name], given) : { missing: true };
      results[name][label].calls = calls;
    }
  }
  // an open socket of the client must not keep the process
  process.stdout.write(JSON.stringify(results), () => process.exit(0));
}

main().catch((error) => {
  process.stderr.write(String((error && error.stack) || error));
  process.exit(1);
});
