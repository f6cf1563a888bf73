/** The front end's one Supabase client, made at first use from the build's environment. */
import { createClient, type SupabaseClient } from '@supabase/supabase-js';

type Environment = Record<string, string | undefined>;

// Not there in every build: Node and Next.js have it, Vite has `import.meta.env` instead.
declare const process: { env: Environment };

// Bundlers replace these expressions as they stand, so none may be put together from parts.
function settings(): Environment {
  const vite = (import.meta as { env?: Environment }).env;
  const node =
    typeof process === 'undefined'
      ? {}
      : {
          url: process.env.NEXT_PUBLIC_SUPABASE_URL ?? process.env.SUPABASE_URL,
          key: process.env.NEXT_PUBLIC_SUPABASE_ANON_KEY ?? process.env.SUPABASE_ANON_KEY,
        };
  return {
    url: vite?.VITE_SUPABASE_URL ?? node.url,
    key: vite?.VITE_SUPABASE_ANON_KEY ?? node.key,
  };
}

// Node.js has a WebSocket from version 22 on. Queries need none, but the client asks for the class.
interface NoWebSocket extends WebSocket {}
class NoWebSocket {
  constructor() {
    throw new Error('Realtime channels need a WebSocket: a browser, or Node.js 22 or later.');
  }
}

// Row level security shows these tables to signed-in users only; anybody else gets no rows, and no error.
const FOR_SIGNED_IN = /\/rest\/v1\/(benchmark_trials|benchmark_cohorts|population_baselines)$/;

/** Whether a request comes from nobody in particular: its token is the project's public key. */
function isSignedOut(headers: Headers): boolean {
  const token = headers.get('authorization')?.replace(/^Bearer /, '') ?? '';
  if (token.startsWith('sb_')) return token.startsWith('sb_publishable_');
  try {
    const claims = (token.split('.')[1] ?? '').replace(/-/g, '+').replace(/_/g, '/');
    return JSON.parse(atob(claims)).role === 'anon';
  } catch {
    return false;
  }
}

/**
 * Like `fetch`, but nothing found is an error where the visitor had to be signed in to find it, and so is
 * an answer without the count that was asked for (of a login page, say), which the client takes for none.
 */
async function ask(input: RequestInfo | URL, init?: RequestInit): Promise<Response> {
  const answer = await fetch(input, init);
  const place = new URL(input instanceof Request ? input.url : input);
  const headers = new Headers(init?.headers);
  const range = answer.headers.get('content-range') ?? '';
  if (!answer.ok || answer.status === 204) return answer;
  if (headers.get('prefer')?.includes('count=') && !/\/\d+$/.test(range)) {
    return new Response(JSON.stringify({ message: 'the answer has no count' }), { status: 502 });
  }
  if (!FOR_SIGNED_IN.test(place.pathname) || !isSignedOut(headers)) return answer;
  const empty = range ? range.startsWith('*/') : /^\s*\[\s*\]\s*$/.test(await answer.clone().text());
  if (!empty) return answer;
  const message = 'not signed in, and only signed-in users may see the rows';
  return new Response(JSON.stringify({ code: '42501', message }), { status: 401 });
}

function connect(): SupabaseClient {
  const { url, key } = settings();
  const missing = [url ? '' : 'SUPABASE_URL', key ? '' : 'SUPABASE_ANON_KEY'].filter(Boolean);
  if (!url || !key) {
    throw new Error(
      `Supabase is not configured: set ${missing.join(' and ')} ` +
        '(with the prefix VITE_ or NEXT_PUBLIC_ in a browser build).',
    );
  }
  return createClient(url, key, {
    global: { fetch: ask },
    ...(typeof WebSocket === 'undefined' && { realtime: { transport: NoWebSocket } }),
  });
}

let client: SupabaseClient | undefined;

/** Importing this never fails; the first use throws if the project's URL or key is not set. */
export const supabase: SupabaseClient = new Proxy({} as SupabaseClient, {
  get(_target, property) {
    client ??= connect();
    const value: unknown = Reflect.get(client, property, client);
    return typeof value === 'function' ? value.bind(client) : value;
  },
});
