/** Queries for published outcome benchmarks, for the analytics pages. */
import { supabase } from './supabaseClient';

/** A row of `benchmark_cohorts`: what one study arm or pooled analysis reported. */
export interface BenchmarkCohort {
  id: string;
  cohort_name: string;
  source_citation: string;
  modality: string;
  condition: string;
  setting: string | null;
  /** People enrolled in the arm or sample that the figures are of. */
  n_participants: number;
  country: string | null;
  instrument: string;
  baseline_mean: number | null;
  baseline_sd: number | null;
  endpoint_mean: number | null;
  endpoint_sd: number | null;
  followup_weeks: number | null;
  response_rate_pct: number | null;
  remission_rate_pct: number | null;
  effect_size_hedges_g: number | null;
  adverse_event_rate_pct: number | null;
  data_freely_usable: boolean | null;
  license: string | null;
  notes: string | null;
  created_at: string | null;
}

/** Cohorts for a treatment, a condition and an instrument, largest first; [] if there are none. */
export async function getBenchmarkCohorts(
  modality: string,
  condition: string,
  instrument: string,
): Promise<BenchmarkCohort[]> {
  const { data, error, status } = await supabase
    .from('benchmark_cohorts')
    .select('*')
    .eq('modality', modality)
    .eq('condition', condition)
    .eq('instrument', instrument)
    .order('n_participants', { ascending: false });

  if (error) throw failure('benchmark cohorts', error, status);
  if (!Array.isArray(data ?? [])) throw failure('benchmark cohorts', { message: 'the answer is no list' });
  return (data ?? []) as BenchmarkCohort[];
}

/** How many registered trials there are, of one modality or of all. */
export async function getBenchmarkTrialCount(modality?: string): Promise<number> {
  let query = supabase.from('benchmark_trials').select('id', { count: 'exact', head: true });
  if (modality) query = query.eq('modality', modality);

  const { count, error, status } = await query;
  if (error) throw failure('benchmark trials', error, status);
  // A HEAD answer has no body: of a table that is not there the client reports 204 and no error.
  if (count == null && status === 204) {
    throw failure('benchmark trials', { message: 'the table was not found' });
  }
  return count ?? 0;
}

/** The cohort with the most participants, or null if there is none. */
export async function getPrimaryBenchmark(
  modality: string,
  condition: string,
  instrument: string,
): Promise<BenchmarkCohort | null> {
  const [largest] = await getBenchmarkCohorts(modality, condition, instrument);
  return largest ?? null;
}

function failure(what: string, error: { message?: string; code?: string }, status = 0): Error {
  const reason = error.message || error.code || (status ? `HTTP status ${status}` : 'no reason given');
  return new Error(`Could not load ${what}: ${reason}`, { cause: error });
}
