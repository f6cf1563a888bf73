-- ============================================================================
-- MIGRATION 020: Causal columns of patient_journeys
-- Additive only. No drops. Rows that exist keep what they hold; the new columns are null.
-- Base schema: public.patient_journeys, public.hcp_profiles; roles authenticated, service_role
-- A database without them holds no synthetic data, and is left as it is.
-- Fresh installs take database/core/e2i_ml_complete_v3_schema.sql, which has all of this.
-- Re-runnable: a second run changes nothing.
-- ============================================================================

DO $$
DECLARE
  -- ADD CONSTRAINT has no IF NOT EXISTS
  wanted CONSTANT text[][] := ARRAY[
    ['patient_journeys_hcp_id_fkey', 'FOREIGN KEY (hcp_id) REFERENCES public.hcp_profiles'],
    ['patient_journeys_disease_severity_check', 'CHECK (disease_severity BETWEEN 0 AND 10)'],
    ['patient_journeys_academic_hcp_check', 'CHECK (academic_hcp IN (0, 1))'],
    ['patient_journeys_engagement_score_check', 'CHECK (engagement_score BETWEEN 0 AND 10)'],
    ['patient_journeys_treatment_initiated_check', 'CHECK (treatment_initiated IN (0, 1))'],
    ['patient_journeys_age_at_diagnosis_check', 'CHECK (age_at_diagnosis BETWEEN 0 AND 120)']
  ];
  pair text[];
BEGIN
  IF to_regclass('public.patient_journeys') IS NULL THEN
    RAISE NOTICE 'there is no table patient_journeys: database/core/e2i_ml_complete_v3_schema.sql makes it';
    RETURN;
  END IF;

  ALTER TABLE public.patient_journeys
    ADD COLUMN IF NOT EXISTS hcp_id VARCHAR(20),
    ADD COLUMN IF NOT EXISTS disease_severity DECIMAL(4,2),
    ADD COLUMN IF NOT EXISTS academic_hcp INT,
    ADD COLUMN IF NOT EXISTS engagement_score DECIMAL(4,2),
    ADD COLUMN IF NOT EXISTS treatment_initiated INT,
    ADD COLUMN IF NOT EXISTS days_to_treatment INT,
    ADD COLUMN IF NOT EXISTS age_at_diagnosis INT;

  FOREACH pair SLICE 1 IN ARRAY wanted LOOP
    IF NOT EXISTS (SELECT FROM pg_constraint
                    WHERE conrelid = 'public.patient_journeys'::regclass AND conname = pair[1])
    THEN
      EXECUTE format('ALTER TABLE public.patient_journeys ADD CONSTRAINT %I %s',
                     pair[1], pair[2]);
    END IF;
  END LOOP;

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

  -- A view keeps the columns that its table had when it was made, so these are made again.
  CREATE OR REPLACE VIEW public.v_train_patient_journeys WITH (security_invoker = true) AS
    SELECT * FROM public.patient_journeys WHERE data_split = 'train';
  CREATE OR REPLACE VIEW public.v_validation_patient_journeys WITH (security_invoker = true) AS
    SELECT * FROM public.patient_journeys WHERE data_split = 'validation';
  CREATE OR REPLACE VIEW public.v_test_patient_journeys WITH (security_invoker = true) AS
    SELECT * FROM public.patient_journeys WHERE data_split = 'test';
  CREATE OR REPLACE VIEW public.v_holdout_patient_journeys WITH (security_invoker = true) AS
    SELECT * FROM public.patient_journeys WHERE data_split = 'holdout';
  GRANT SELECT ON public.v_train_patient_journeys, public.v_validation_patient_journeys,
    public.v_test_patient_journeys, public.v_holdout_patient_journeys
    TO authenticated, service_role;
END
$$;
