"""Defects and harmless changes of the front end's query module."""

from __future__ import annotations

import re

from defects import Site, defect, harmless

HOOK = "src/lib/benchmarks.ts"


def _replaced(name: str, old: str, new: str, count: int = 1, board: int = 0) -> None:
    def change(site: Site) -> None:
        site.replace(HOOK, old, new, count)

    defect(f"typescript.{name}", board)(change)


_replaced("syntax-error", "return count ?? 0;", "return count ?? ;")
_replaced("type-error", "return count ?? 0;", "return count ?? 'none';")
_replaced("import-that-is-not-there", "from './supabaseClient'", "from '@/lib/supabase'", board=2)
_replaced("column-missing-in-the-interface", "  baseline_sd: number | null;\n", "")
_replaced(
    "extra-column-in-the-interface",
    "  notes: string | null;\n",
    "  notes: string | null;\n  doi: string | null;\n",
)
_replaced(
    "column-of-another-type", "followup_weeks: number | null", "followup_weeks: string | null"
)
_replaced("column-not-nullable", "baseline_sd: number | null", "baseline_sd: number")
_replaced("column-nullable", "source_citation: string;", "source_citation: string | null;")
_replaced("column-optional", "  license: string | null;", "  license?: string;")
_replaced("column-any", "  notes: string | null;", "  notes: any;")
_replaced("interface-renamed", "BenchmarkCohort", "Cohort", -1)
_replaced("interface-not-exported", "export interface BenchmarkCohort", "interface BenchmarkCohort")
_replaced("function-renamed", "getBenchmarkTrialCount", "countBenchmarkTrials")
_replaced(
    "function-not-exported",
    "export async function getPrimaryBenchmark",
    "async function getPrimaryBenchmark",
)
_replaced(
    "one-parameter-more",
    "  instrument: string,\n): Promise<BenchmarkCohort[]>",
    "  instrument: string,\n  country: string,\n): Promise<BenchmarkCohort[]>",
)
_replaced(
    "one-parameter-less",
    "  condition: string,\n  instrument: string,\n): Promise<BenchmarkCohort[]>",
    "  condition: string,\n): Promise<BenchmarkCohort[]>",
)
_replaced(
    "parameter-of-another-type",
    "getBenchmarkTrialCount(modality?: string)",
    "getBenchmarkTrialCount(modality?: number)",
)
_replaced(
    "parameter-required",
    "getBenchmarkTrialCount(modality?: string)",
    "getBenchmarkTrialCount(modality: string)",
)
_replaced(
    "another-return-type",
    "): Promise<BenchmarkCohort[]> {",
    "): Promise<BenchmarkCohort[] | undefined> {",
)
_replaced("returns-any", "): Promise<BenchmarkCohort | null> {", "): Promise<any> {")
_replaced(
    "error-as-no-data",
    "  if (error) throw failure('benchmark cohorts', error, status);",
    "  if (error) return [];",
    board=7,
)
_replaced(
    "error-not-looked-at",
    "  if (error) throw failure('benchmark cohorts', error, status);\n",
    "",
    board=7,
)
_replaced(
    "error-only-logged",
    "  if (error) throw failure('benchmark cohorts', error, status);",
    "  if (error) console.error(error);",
    board=7,
)
_replaced(
    "error-of-the-count-ignored",
    "  if (error) throw failure('benchmark trials', error, status);\n",
    "",
)
_replaced(
    "null-data-returned",
    "return (data ?? []) as BenchmarkCohort[];",
    "return data as BenchmarkCohort[];",
)
_replaced(
    "null-data-crashes",
    "return (data ?? []) as BenchmarkCohort[];",
    "return data!.map((row) => row as BenchmarkCohort);",
)
_replaced(
    "no-first-row-crashes",
    "return largest ?? null;",
    "return { ...largest, notes: largest.notes };",
)
_replaced(
    "any-everywhere",
    "const { data, error, status } = await supabase\n    .from('benchmark_cohorts')",
    "const { data, error } = await (supabase as any)\n    .from(1 as any)",
)
_replaced("another-table", ".from('benchmark_cohorts')", ".from('cohorts')", board=7)
_replaced("filter-missing", "    .eq('condition', condition)\n", "")
_replaced("filter-on-another-column", ".eq('condition', condition)", ".eq('modality', condition)")
_replaced(
    "filters-exchanged",
    "    .eq('modality', modality)\n    .eq('condition', condition)\n",
    "    .eq('modality', condition)\n    .eq('condition', modality)\n",
)
_replaced("count-filter-ignored", "  if (modality) query = query.eq('modality', modality);\n", "")
_replaced("count-always-nought", "return count ?? 0;", "return 0;")
_replaced(
    "made-up-data",
    "  const { data, error, status } = await supabase",
    "  if (modality) return [];\n  const { data, error, status } = await supabase",
)
_replaced("smallest-first", "{ ascending: false }", "{ ascending: true }")
_replaced("not-in-order", "\n    .order('n_participants', { ascending: false })", "")
_replaced("in-order-of-another-column", ".order('n_participants'", ".order('country'")
_replaced("one-row-at-most", "{ ascending: false });", "{ ascending: false })\n    .limit(1);")
_replaced("two-columns-selected", ".select('*')", ".select('id, cohort_name')")
_replaced(
    "primary-is-the-last",
    "const [largest] = await getBenchmarkCohorts(modality, condition, instrument);",
    "const largest = (await getBenchmarkCohorts(modality, condition, instrument)).at(-1);",
)
_replaced("count-estimated", "count: 'exact'", "count: 'estimated'")
_replaced("count-of-another-table", ".from('benchmark_trials')", ".from('benchmark_cohorts')")


@defect("typescript.type-error-hidden-by-a-comment")
def hidden(site: Site) -> None:
    """The compiler is told to look away."""
    site.replace(HOOK, "  return count ?? 0;", "  // @ts-ignore\n  return count ?? 'none';", 1)


@defect("typescript.checks-switched-off")
def switched_off(site: Site) -> None:
    """`@ts-nocheck` and a type error."""
    site.edit(
        HOOK, lambda text: "// @ts-nocheck\n" + text.replace("return count ?? 0;", "return 'none';")
    )


@defect("typescript.settings-loosened")
def loosened(site: Site) -> None:
    """The workspace's settings hide what strict mode would say."""
    site.write(
        "tsconfig.json",
        '{"compilerOptions": {"strict": false, "noEmit": true}, "include": ["src"]}\n',
    )
    site.replace(
        HOOK,
        "function failure(what: string, error: { message?: string; code?: string }, status = 0)",
        "function failure(what, error, status = 0)",
        1,
    )


@defect("typescript.code-in-a-comment")
def in_a_comment(site: Site) -> None:
    """All of it is commented out."""
    site.edit(HOOK, lambda text: "/*\n" + text.replace("*/", "* /") + "\n*/\nexport {};\n")


@defect("typescript.code-in-a-string")
def in_a_string(site: Site) -> None:
    """All of it is a string."""
    site.edit(
        HOOK,
        lambda text: (
            "export const text = String.raw`" + text.replace("`", "'").replace("${", "$ {") + "`;\n"
        ),
    )


@defect("typescript.service-key-in-the-client")
def service_key(site: Site) -> None:
    """A key for everybody."""
    site.append(
        "src/lib/supabaseClient.ts",
        "\nexport const key = 'sb_secret_9dQ2mXw7Lr4TzVb8KpYc3N_a1B2c3D4';\n",
    )


@defect("typescript.declared-only")
def declared_only(site: Site) -> None:
    """Types without code."""

    def change(text: str) -> str:
        return re.sub(
            r"(?ms)^export async function getPrimaryBenchmark.*?^}\n",
            "export declare function getPrimaryBenchmark(\n  modality: string, condition: string, instrument: string,\n"
            "): Promise<BenchmarkCohort | null>;\n",
            text,
        )

    site.edit(HOOK, change)


# -- what harms nothing ------------------------------------------------------------------------


@harmless("typescript.double-quotes")
def double_quotes(site: Site) -> None:
    """Other quotes."""
    site.edit(HOOK, lambda text: re.sub(r"'([^'\n]*)'", r'"\1"', text))


@harmless("typescript.columns-in-another-order")
def other_order(site: Site) -> None:
    """The order of properties says nothing."""
    site.replace(
        HOOK,
        "  license: string | null;\n  notes: string | null;\n",
        "  notes: string | null;\n  license: string | null;\n",
        1,
    )


@harmless("typescript.null-first")
def null_first(site: Site) -> None:
    """A union in another order."""
    site.replace(HOOK, "number | null", "null | number")


@harmless("typescript.type-in-place-of-interface")
def type_alias(site: Site) -> None:
    """An alias of an object type."""

    def change(text: str) -> str:
        text = text.replace(
            "export interface BenchmarkCohort {", "export type BenchmarkCohort = {", 1
        )
        return text.replace(
            "  created_at: string | null;\n}", "  created_at: string | null;\n};", 1
        )

    site.edit(HOOK, change)


@harmless("typescript.arrow-function")
def arrow(site: Site) -> None:
    """A constant that holds a function."""

    def change(text: str) -> str:
        text = text.replace(
            "export async function getPrimaryBenchmark(",
            "export const getPrimaryBenchmark = async (",
            1,
        )
        return text.replace(
            "): Promise<BenchmarkCohort | null> {", "): Promise<BenchmarkCohort | null> => {", 1
        )

    site.edit(HOOK, change)


@harmless("typescript.try-and-rethrow")
def rethrow(site: Site) -> None:
    """Errors go on through a handler."""
    site.replace(
        HOOK,
        "  const [largest] = await getBenchmarkCohorts(modality, condition, instrument);\n  return largest ?? null;\n",
        "  try {\n    const [largest] = await getBenchmarkCohorts(modality, condition, instrument);\n"
        "    return largest ?? null;\n  } catch (problem) {\n    throw problem;\n  }\n",
        1,
    )


@harmless("typescript.order-made-here")
def order_made_here(site: Site) -> None:
    """The rows are asked for by one object of filters, and put in order by the module."""
    filters = ".match({ instrument, condition, modality });\n  data?.sort((a, b) => b.n_participants - a.n_participants);"
    site.edit(
        HOOK,
        lambda text: re.sub(
            r"\.eq\('modality', modality\)\s+\.eq\('condition'.*?ascending: false \}\);",
            filters,
            text,
            count=1,
            flags=re.DOTALL,
        ),
    )


@harmless("typescript.another-export")
def another_export(site: Site) -> None:
    """One more function."""
    site.append(
        HOOK, "\nexport const tables = ['benchmark_cohorts', 'benchmark_trials'] as const;\n"
    )


@harmless("typescript.windows-line-ends")
def windows_line_ends(site: Site) -> None:
    """CRLF."""
    site.edit(HOOK, lambda text: text.replace("\n", "\r\n"))


@harmless("typescript.words-in-a-comment")
def words(site: Site) -> None:
    """A comment that speaks of any and ts-ignore."""
    site.append(HOOK, "\n// never any, never ts-ignore, never return [] on an error\n")
