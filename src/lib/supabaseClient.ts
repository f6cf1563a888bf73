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

function connect(): SupabaseClient {
  const { url, key } = settings();
  const missing = [url ? '' : 'SUPABASE_URL', key ? '' : 'SUPABASE_ANON_KEY'].filter(Boolean);
  if (!url || !key) {
    throw new Error(
      `Supabase is not configured: set ${missing.join(' and ')} ` +
        '(with the prefix VITE_ or NEXT_PUBLIC_ in a browser build).',
    );
  }
  return createClient(url, key);
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
