-- ============================================================================
-- Core schema of the synthetic data, for fresh installs.
-- An install that has the tables already takes database/migrations/020_add_patient_causal_columns.sql.
-- Row level security: authenticated reads, service_role reads and writes, anon gets nothing.
-- Re-runnable: a second run changes nothing.
-- ============================================================================

-- On Supabase the roles of the API exist; a plain PostgreSQL gets them, and policies are their
-- only way in.
DO $$
DECLARE
  wanted text;
BEGIN
  FOREACH wanted IN ARRAY ARRAY['anon', 'authenticated', 'service_role'] LOOP
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
      EXECUTE format('CREATE ROLE %I NOLOGIN NOINHERIT', wanted);
    END IF;
  END LOOP;
END
$$;

DO $$
DECLARE
  wanted CONSTANT jsonb := '{
    "data_split_type": ["train", "validation", "test", "holdout", "unassigned"],
    "brand_type": ["Remibrutinib", "Fabhalta", "Kisqali", "competitor", "other"],
    "region_type": ["northeast", "south", "midwest", "west"],
    "priority_type": ["critical", "high", "medium", "low"],
    "event_type": ["diagnosis", "prescription", "lab_test", "procedure", "consultation",
                   "hospitalization"],
    "prediction_type": ["trigger", "propensity", "risk", "churn", "next_best_action"],
    "feature_value_type": ["int64", "float64", "string", "bool", "timestamp", "array_int64",
                           "array_float64", "array_string"],
    "feature_freshness_status": ["fresh", "stale", "expired"]
  }';
  type_name text;
  labels text;
BEGIN
  FOR type_name, labels IN
    SELECT key, (SELECT string_agg(quote_literal(label), ', ' ORDER BY place)
                   FROM jsonb_array_elements_text(value) WITH ORDINALITY AS l(label, place))
      FROM jsonb_each(wanted)
  LOOP
    IF to_regtype('public.' || type_name) IS NULL THEN
      EXECUTE format('CREATE TYPE public.%I AS ENUM (%s)', type_name, labels);
    END IF;
  END LOOP;
END
$$;

-- Which boundaries made the splits
CREATE TABLE IF NOT EXISTS public.ml_split_registry (
  split_config_id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  config_name VARCHAR(100) NOT NULL,
  config_version VARCHAR(20) NOT NULL,
  train_end_date DATE,
  validation_end_date DATE,
  test_end_date DATE,
  train_ratio DECIMAL(4,3),
  validation_ratio DECIMAL(4,3),
  test_ratio DECIMAL(4,3),
  holdout_ratio DECIMAL(4,3),
  temporal_gap_days INT,
  random_seed INT,
  created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
  CONSTRAINT ml_split_registry_name_version_key UNIQUE (config_name, config_version)
);

-- Health-care professionals
CREATE TABLE IF NOT EXISTS public.hcp_profiles (
  hcp_id VARCHAR(20) PRIMARY KEY,
  npi VARCHAR(20) UNIQUE,
  specialty VARCHAR(100),
  practice_type VARCHAR(50),
  geographic_region region_type,
  years_experience INT,
  total_patient_volume INT,
  created_at TIMESTAMPTZ NOT NULL DEFAULT now()
);

-- One row for each journey; a patient may have several. The causal columns come last, where an
-- older install gets them from migration 020.
CREATE TABLE IF NOT EXISTS public.patient_journeys (
  patient_journey_id VARCHAR(20) PRIMARY KEY,
  patient_id VARCHAR(20) NOT NULL,
  journey_start_date DATE NOT NULL,
  brand brand_type,
  geographic_region region_type,
  insurance_type VARCHAR(20),
  data_split data_split_type NOT NULL DEFAULT 'unassigned',
  split_config_id UUID REFERENCES public.ml_split_registry,
  created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
  hcp_id VARCHAR(20),
  disease_severity DECIMAL(4,2),
  academic_hcp INT,
  engagement_score DECIMAL(4,2),
  treatment_initiated INT,
  days_to_treatment INT,
  age_at_diagnosis INT,
  CONSTRAINT patient_journeys_hcp_id_fkey FOREIGN KEY (hcp_id) REFERENCES public.hcp_profiles,
  CONSTRAINT patient_journeys_disease_severity_check CHECK (disease_severity BETWEEN 0 AND 10),
  CONSTRAINT patient_journeys_academic_hcp_check CHECK (academic_hcp IN (0, 1)),
  CONSTRAINT patient_journeys_engagement_score_check CHECK (engagement_score BETWEEN 0 AND 10),
  CONSTRAINT patient_journeys_treatment_initiated_check CHECK (treatment_initiated IN (0, 1)),
  CONSTRAINT patient_journeys_age_at_diagnosis_check CHECK (age_at_diagnosis BETWEEN 0 AND 120)
);

COMMENT ON COLUMN public.patient_journeys.hcp_id IS 'HCP who treats the patient';
COMMENT ON COLUMN public.patient_journeys.disease_severity IS
  'Severity at the start, 0 to 10; a confounder';
COMMENT ON COLUMN public.patient_journeys.academic_hcp IS
  'Whether the HCP practises academically, 0 or 1; a confounder';
COMMENT ON COLUMN public.patient_journeys.engagement_score IS
  'Engagement of the HCP, 0 to 10; the treatment variable of causal analyses';
COMMENT ON COLUMN public.patient_journeys.treatment_initiated IS
  'Whether the patient began treatment, 0 or 1; the outcome of causal analyses';
COMMENT ON COLUMN public.patient_journeys.days_to_treatment IS
  'Days from the start to treatment; null where none began';
COMMENT ON COLUMN public.patient_journeys.age_at_diagnosis IS 'Age in whole years';

CREATE INDEX IF NOT EXISTS idx_patient_journeys_hcp_id ON public.patient_journeys (hcp_id);
CREATE INDEX IF NOT EXISTS idx_patient_journeys_causal
  ON public.patient_journeys (brand, data_split, treatment_initiated)
  WHERE treatment_initiated IS NOT NULL;

CREATE TABLE IF NOT EXISTS public.treatment_events (
  treatment_event_id VARCHAR(30) PRIMARY KEY,
  patient_journey_id VARCHAR(20) REFERENCES public.patient_journeys ON DELETE CASCADE,
  patient_id VARCHAR(20) NOT NULL,
  hcp_id VARCHAR(20) REFERENCES public.hcp_profiles,
  event_date DATE NOT NULL,
  event_type event_type,
  brand brand_type,
  duration_days INT,
  data_split data_split_type NOT NULL DEFAULT 'unassigned',
  split_config_id UUID REFERENCES public.ml_split_registry,
  created_at TIMESTAMPTZ NOT NULL DEFAULT now()
);

CREATE INDEX IF NOT EXISTS idx_treatment_events_journey
  ON public.treatment_events (patient_journey_id);

CREATE TABLE IF NOT EXISTS public.ml_predictions (
  prediction_id VARCHAR(30) PRIMARY KEY,
  prediction_timestamp TIMESTAMPTZ NOT NULL,
  patient_id VARCHAR(20) NOT NULL,
  hcp_id VARCHAR(20) REFERENCES public.hcp_profiles,
  model_version VARCHAR(20),
  prediction_type prediction_type,
  prediction_value DECIMAL(5,4),
  confidence_score DECIMAL(5,4),
  actual_outcome DECIMAL(5,4),
  data_split data_split_type NOT NULL DEFAULT 'unassigned',
  split_config_id UUID REFERENCES public.ml_split_registry,
  created_at TIMESTAMPTZ NOT NULL DEFAULT now()
);

CREATE INDEX IF NOT EXISTS idx_ml_predictions_patient ON public.ml_predictions (patient_id);

CREATE TABLE IF NOT EXISTS public.triggers (
  trigger_id VARCHAR(30) PRIMARY KEY,
  patient_id VARCHAR(20) NOT NULL,
  hcp_id VARCHAR(20) REFERENCES public.hcp_profiles,
  trigger_timestamp TIMESTAMPTZ NOT NULL,
  trigger_type VARCHAR(50),
  priority priority_type,
  confidence_score DECIMAL(4,3),
  lead_time_days INT,
  expiration_date DATE,
  delivery_channel VARCHAR(20),
  delivery_status VARCHAR(20),
  acceptance_status VARCHAR(20),
  outcome_tracked BOOLEAN,
  outcome_value DECIMAL(4,3),
  trigger_reason TEXT,
  causal_chain JSONB,
  supporting_evidence JSONB,
  recommended_action TEXT,
  data_split data_split_type NOT NULL DEFAULT 'unassigned',
  split_config_id UUID REFERENCES public.ml_split_registry,
  created_at TIMESTAMPTZ NOT NULL DEFAULT now()
);

CREATE INDEX IF NOT EXISTS idx_triggers_patient ON public.triggers (patient_id);

-- One figure for each day, metric, brand and region
CREATE TABLE IF NOT EXISTS public.business_metrics (
  metric_id VARCHAR(50) PRIMARY KEY,
  metric_date DATE NOT NULL,
  metric_type VARCHAR(30) NOT NULL,
  metric_name VARCHAR(100),
  brand brand_type NOT NULL,
  region region_type NOT NULL,
  value DECIMAL(15,4),
  target DECIMAL(15,4),
  achievement_rate DECIMAL(5,3),
  year_over_year_change DECIMAL(5,3),
  month_over_month_change DECIMAL(5,3),
  roi DECIMAL(5,2),
  statistical_significance DECIMAL(4,3),
  confidence_interval_lower DECIMAL(15,4),
  confidence_interval_upper DECIMAL(15,4),
  sample_size INT,
  data_split data_split_type NOT NULL DEFAULT 'unassigned',
  split_config_id UUID REFERENCES public.ml_split_registry,
  created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
  CONSTRAINT business_metrics_natural_key UNIQUE (metric_date, metric_type, brand, region)
);

CREATE INDEX IF NOT EXISTS idx_business_metrics_date ON public.business_metrics (metric_date);
CREATE INDEX IF NOT EXISTS idx_business_metrics_brand_region
  ON public.business_metrics (brand, region);

CREATE TABLE IF NOT EXISTS public.feature_groups (
  id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  name VARCHAR(255) NOT NULL,
  description TEXT,
  owner VARCHAR(100),
  tags JSONB,
  source_table VARCHAR(255),
  expected_update_frequency_hours INT DEFAULT 24 CHECK (expected_update_frequency_hours > 0),
  max_age_hours INT DEFAULT 168 CHECK (max_age_hours > 0),
  created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
  updated_at TIMESTAMPTZ NOT NULL DEFAULT now(),
  CONSTRAINT feature_groups_name_key UNIQUE (name)
);

CREATE TABLE IF NOT EXISTS public.features (
  id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  feature_group_id UUID NOT NULL REFERENCES public.feature_groups ON DELETE CASCADE,
  name VARCHAR(255) NOT NULL,
  description TEXT,
  value_type feature_value_type NOT NULL,
  entity_keys JSONB NOT NULL CHECK (jsonb_array_length(entity_keys) > 0),
  owner VARCHAR(100),
  tags JSONB,
  drift_threshold FLOAT DEFAULT 0.1,
  statistics JSONB,
  dependencies JSONB,
  created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
  updated_at TIMESTAMPTZ NOT NULL DEFAULT now(),
  CONSTRAINT features_group_name_key UNIQUE (feature_group_id, name)
);

CREATE TABLE IF NOT EXISTS public.feature_values (
  id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  feature_id UUID NOT NULL REFERENCES public.features ON DELETE CASCADE,
  entity_values JSONB NOT NULL,
  value JSONB NOT NULL,
  event_timestamp TIMESTAMPTZ NOT NULL CHECK (event_timestamp <= now()),
  created_timestamp TIMESTAMPTZ NOT NULL DEFAULT now(),
  freshness_status feature_freshness_status NOT NULL DEFAULT 'fresh',
  version INT NOT NULL DEFAULT 1,
  CONSTRAINT feature_values_natural_key UNIQUE (feature_id, entity_values, event_timestamp)
);

CREATE INDEX IF NOT EXISTS idx_feature_values_entity
  ON public.feature_values USING GIN (entity_values);
CREATE INDEX IF NOT EXISTS idx_feature_values_feature_time
  ON public.feature_values (feature_id, event_timestamp DESC);

CREATE OR REPLACE FUNCTION public.set_updated_at() RETURNS trigger
LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
  NEW.updated_at := now();
  RETURN NEW;
END
$$;

CREATE OR REPLACE TRIGGER feature_groups_updated_at BEFORE UPDATE ON public.feature_groups
  FOR EACH ROW EXECUTE FUNCTION public.set_updated_at();
CREATE OR REPLACE TRIGGER features_updated_at BEFORE UPDATE ON public.features
  FOR EACH ROW EXECUTE FUNCTION public.set_updated_at();

-- One view for each split and table. The caller's rights hold, or a view would go round the
-- policies of its table.
DO $$
DECLARE
  split text;
  source text;
BEGIN
  FOREACH split IN ARRAY ARRAY['train', 'validation', 'test', 'holdout'] LOOP
    FOREACH source IN ARRAY ARRAY['patient_journeys', 'treatment_events', 'ml_predictions',
                                  'triggers', 'business_metrics'] LOOP
      EXECUTE format(
        'CREATE OR REPLACE VIEW public.%I WITH (security_invoker = true) AS '
        'SELECT * FROM public.%I WHERE data_split = %L',
        'v_' || split || '_' || source, source, split);
    END LOOP;
  END LOOP;
END
$$;

CREATE OR REPLACE VIEW public.feature_values_latest WITH (security_invoker = true) AS
SELECT DISTINCT ON (v.feature_id, v.entity_values)
       v.id, v.feature_id, f.name AS feature_name, g.name AS group_name, v.entity_values, v.value,
       v.event_timestamp, v.freshness_status
  FROM public.feature_values v
  JOIN public.features f ON f.id = v.feature_id
  JOIN public.feature_groups g ON g.id = f.feature_group_id
 ORDER BY v.feature_id, v.entity_values, v.event_timestamp DESC;

CREATE OR REPLACE VIEW public.feature_freshness_monitor WITH (security_invoker = true) AS
SELECT g.name AS group_name, f.name AS feature_name, g.max_age_hours,
       count(v.id) AS value_count, max(v.event_timestamp) AS latest_timestamp,
       extract(epoch FROM now() - max(v.event_timestamp)) / 3600 AS age_hours,
       now() - max(v.event_timestamp) > make_interval(hours => g.max_age_hours) AS is_overdue
  FROM public.features f
  JOIN public.feature_groups g ON g.id = f.feature_group_id
  LEFT JOIN public.feature_values v ON v.feature_id = f.id
 GROUP BY g.name, f.name, g.max_age_hours;

-- Policies do not govern TRUNCATE, so what nobody needs is not granted either.
DO $$
DECLARE
  place regclass;
  is_table boolean;
BEGIN
  FOR place, is_table IN
    SELECT c.oid::regclass, c.relkind = 'r' FROM pg_class c
     WHERE c.relnamespace = 'public'::regnamespace
       AND (c.relname = ANY (ARRAY['ml_split_registry', 'hcp_profiles', 'patient_journeys',
              'treatment_events', 'ml_predictions', 'triggers', 'business_metrics',
              'feature_groups', 'features', 'feature_values', 'feature_values_latest',
              'feature_freshness_monitor'])
            OR c.relname ~ ('^v_(train|validation|test|holdout)_(patient_journeys|'
              'treatment_events|ml_predictions|triggers|business_metrics)$'))
  LOOP
    EXECUTE format('REVOKE ALL ON %s FROM anon, authenticated, service_role', place);
    EXECUTE format('GRANT SELECT ON %s TO authenticated, service_role', place);
    CONTINUE WHEN NOT is_table;
    EXECUTE format('GRANT INSERT, UPDATE ON %s TO service_role', place);
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', place);
    IF NOT EXISTS (SELECT FROM pg_policy WHERE polrelid = place) THEN
      EXECUTE format('CREATE POLICY read_all ON %s FOR SELECT TO authenticated, service_role '
                     'USING (true)', place);
      EXECUTE format('CREATE POLICY load_insert ON %s FOR INSERT TO service_role '
                     'WITH CHECK (true)', place);
      EXECUTE format('CREATE POLICY load_update ON %s FOR UPDATE TO service_role '
                     'USING (true) WITH CHECK (true)', place);
    END IF;
  END LOOP;
END
$$;
GRANT USAGE ON SCHEMA public TO authenticated, service_role;
