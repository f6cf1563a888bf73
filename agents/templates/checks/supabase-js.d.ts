// The part of @supabase/supabase-js that hooks use, for workspaces where it is not installed.
declare module '@supabase/supabase-js' {
  export interface PostgrestError {
    message: string;
    details: string;
    hint: string;
    code: string;
  }
  interface Answer {
    data: any;
    error: PostgrestError | null;
    count: number | null;
    status: number;
    statusText: string;
  }
  interface Query extends PromiseLike<Answer> {
    select(columns?: string, options?: { count?: 'exact' | 'planned' | 'estimated'; head?: boolean }): Query;
    eq(column: string, value: unknown): Query;
    neq(column: string, value: unknown): Query;
    gt(column: string, value: unknown): Query;
    gte(column: string, value: unknown): Query;
    lt(column: string, value: unknown): Query;
    lte(column: string, value: unknown): Query;
    like(column: string, pattern: string): Query;
    ilike(column: string, pattern: string): Query;
    is(column: string, value: boolean | null): Query;
    in(column: string, values: readonly unknown[]): Query;
    contains(column: string, value: unknown): Query;
    or(filters: string): Query;
    not(column: string, operator: string, value: unknown): Query;
    order(column: string, options?: { ascending?: boolean; nullsFirst?: boolean }): Query;
    limit(count: number): Query;
    range(from: number, to: number): Query;
    single(): Query;
    maybeSingle(): Query;
    returns<T>(): PromiseLike<Omit<Answer, 'data'> & { data: T | null }>;
    overrideTypes<T>(): PromiseLike<Omit<Answer, 'data'> & { data: T | null }>;
  }
  export interface SupabaseClient {
    from(table: string): Query;
    rpc(name: string, args?: Record<string, unknown>): Query;
  }
  export function createClient(url: string, key: string, options?: Record<string, unknown>): SupabaseClient;
}
