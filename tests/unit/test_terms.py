"""Classification of trials by their words: substances, short forms, conditions, settings."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrate_backend.scripts.seed_benchmark_trials import SPEC
from orchestrate_backend.trials import substances
from orchestrate_backend.trials.terms import (
    SUBSTANCES,
    SubstanceClassifier,
    precedence,
    spelled_otherwise,
    with_known_phrases,
    with_synonyms,
)
from orchestrate_backend.trials.trials import Selection, Selector, Skip, TrialSpec
from tests.replay import study

#: the keyword lists of the workflow's sample code, in its order
SAMPLE_KEYWORDS = {
    "psilocybin": ["psilocybin", "psilocin"],
    "mdma": ["mdma", "3,4-methylenedioxy"],
    "ketamine": ["ketamine"],
    "esketamine": ["esketamine", "spravato"],
    "lsd": ["lysergic acid", "lsd-25"],
    "ayahuasca": ["ayahuasca", "dmt", "dimethyltryptamine"],
}
SAMPLE_SPEC = TrialSpec(modalities=with_known_phrases(SAMPLE_KEYWORDS))
SPECS = pytest.mark.parametrize("spec", [SPEC, SAMPLE_SPEC], ids=["product", "sample"])


def filed(*interventions: str, title: str = "A Study", spec: TrialSpec = SPEC) -> str | None:
    return SubstanceClassifier(spec.modalities).classify(interventions, title)


def selected(*records: object, spec: TrialSpec = SPEC, all_conditions: bool = False) -> Selection:
    return Selector(spec, all_conditions).select(records)


# classification by substance


@SPECS
@pytest.mark.parametrize(
    ("name", "modality"),
    [
        ("Psilocybin 25 mg", "psilocybin"),
        ("COMP360", "psilocybin"),
        ("MDMA-assisted psychotherapy", "mdma"),
        ("3,4-methylenedioxymethamphetamine", "mdma"),
        ("Ketamine Hydrochloride", "ketamine"),
        ("ketamine/propofol", "ketamine"),
        ("Esketamine Nasal Spray", "esketamine"),
        ("Spravato®", "esketamine"),
        ("S (+) - Ketamine", "esketamine"),
        ("S-ketamine", "esketamine"),
        ("Lysergic Acid Diethylamide (LSD)", "lsd"),
        ("LSD", "lsd"),
        ("Ayahuasca", "ayahuasca"),
        ("Dimethyltryptamine (DMT)", "ayahuasca"),
        ("N,N-DMT fumarate", "ayahuasca"),
        ("5-MeO-DMT", None),
        ("5-methoxy-N,N-dimethyltryptamine (5-MeO-DMT)", None),
        ("R-ketamine", None),
        ("Dextromethorphan (DXM)", None),
        ("Ibogaine", None),
        ("Desmethylketamine assay", None),
        ("Midazolam", None),
        ("The patient's ketamine", "ketamine"),
        ("", None),
    ],
)
def test_a_substance_is_found_by_whole_words(
    name: str, modality: str | None, spec: TrialSpec
) -> None:
    assert filed(name, spec=spec) == modality


@SPECS
@pytest.mark.parametrize(
    "title",
    [
        "Cultivated Limbal Stem Cells on Amniotic Membrane in Limbal Stem Cell Deficiency (LSD)",
        "Enzyme Replacement in Lysosomal Storage Disease (LSD)",
        "LSD (Low Sugar Diet) in Adolescents",
        "Escalation of Disease-Modifying Therapy (DMT)",
        "Stopping DMT in Stable Multiple Sclerosis",
        "Dual Mobility Technique (DMT) in Hip Replacement",
    ],
)
def test_a_short_form_that_means_something_else_is_no_substance(
    title: str, spec: TrialSpec
) -> None:
    assert filed(title=title, spec=spec) is None
    short = "LSD" if "LSD" in title else "DMT"
    assert filed(short, title=title, spec=spec) is None


@SPECS
def test_a_drug_beside_the_other_meaning_is_still_found(spec: TrialSpec) -> None:
    title = "Dimethyltryptamine (DMT) in Multiple Sclerosis"
    assert filed("DMT", title=title, spec=spec) == "ayahuasca"


def test_initials_tell_what_a_short_form_stands_for() -> None:
    assert spelled_otherwise("lsd", "Limbal Stem-Cell Deficiency (LSD) Patients")
    assert not spelled_otherwise("lsd", "Lysergic Acid Diethylamide (LSD)")
    assert not spelled_otherwise("dmt", "N,N-Dimethyltryptamine (DMT)")


def test_the_title_counts_only_where_no_intervention_is_given() -> None:
    assert filed(title="Psilocybin for Depression") == "psilocybin"
    assert filed("Midazolam", title="Midazolam After Psilocybin") is None


@SPECS
def test_esketamine_wins_over_ketamine_in_any_order(spec: TrialSpec) -> None:
    assert filed("Ketamine", "Esketamine", spec=spec) == "esketamine"
    assert precedence(["ketamine", "esketamine", "mdma"]) == ("esketamine", "ketamine", "mdma")


def test_a_combination_is_filed_by_the_order_of_the_specification() -> None:
    both = ("3,4-methylenedioxymethamphetamine", "Lysergic Acid Diethylamide")
    assert filed(*both) == "lsd"
    assert filed(*both, spec=SAMPLE_SPEC) == "mdma"


def test_a_placebo_named_after_a_substance_is_not_that_substance() -> None:
    assert filed("Ketamine", "Psilocybin Placebo") == "ketamine"
    assert filed("Psilocybin or placebo") == "psilocybin"


def test_other_names_of_an_intervention_count() -> None:
    record = study(1, interventions=[{"name": "Study drug", "otherNames": ["Spravato"]}])
    assert selected(record).modalities == {"esketamine": 1}


INTERVENTIONS = Path(__file__).parents[1] / "fixtures/trials/intervention_names.csv"


def test_interventions_of_real_trials_name_their_substance() -> None:
    with INTERVENTIONS.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    classify = SubstanceClassifier(SPEC.modalities).classify
    wrong = [row for row in rows if (classify([row["name"]], "") or "") != row["substance"]]
    assert wrong == []
    assert len(rows) > 600
    assert all(row["source"] for row in rows)


@pytest.mark.parametrize(
    ("name", "substance"),
    [
        ("S-isomer of ketamine", "esketamine"),
        ("(R)- and (S)-ketamine", "ketamine"),
        ("Vitamin D, ketamine", "ketamine"),
        ("Ketamine s.c.", "ketamine"),
        ("Midazolam +/- ketamine", "ketamine"),
        ("Arm R and ketamine", "ketamine"),
        ("by age", None),
        ("y age", None),
        ("0 mg psilocybin", None),
        ("Ketamine 0 mg/kg", None),
        ("Ketamine 10 mg", "ketamine"),
        ("Active placebo: ketamine", "ketamine"),
        ("Ketamine active placebo (midazolam)", None),
        ("Ketamine placebo / esketamine", "esketamine"),
        ("No premedication, ketamine 1 mg/kg", "ketamine"),
        ("Ketamine, free of preservative", "ketamine"),
        ("ketamine as an alternative to ECT", "ketamine"),
        ("Ketamine versus no ketamine", "ketamine"),
        ("SPRAVATOTM", "esketamine"),
        ("psilo\u00adcybin", "psilocybin"),
        ("Midazolam (ketamine control)", None),
        ("Midazolam 0.045 mg/kg [active ketamine comparator]", None),
        ("Niacin 250 mg (psilocybin control)", None),
        ("Diphenhydramine as a psilocybin control", None),
        ("Active comparator midazolam for ketamine", None),
        ("Ketamine (esketamine comparator)", "ketamine"),
        ("Group B (ketamine control)", "ketamine"),
        ("Active control (ketamine)", "ketamine"),
        ("Ketamine control group", "ketamine"),
        ("Psilocybin 1 mg (active comparator)", "psilocybin"),
        ("Propofol + ketamine (control)", "ketamine"),
        ("Saline in the same volume as ketamine", None),
        ("Equal volumes of propofol and ketamine", "ketamine"),
        ("Esketamine at a dose equivalent to ketamine", "esketamine"),
        ("[11C]ketamine PET", None),
        ("(50mg) ketamine", "ketamine"),
        ("Esketaminnasenspray", "esketamine"),
        ("Psilocybintherapie", "psilocybin"),
        ("Ketamininfusion", "ketamine"),
        ("Ketamine bladder", None),
        ("Dimethyl fumarate (DMT)", None),
    ],
)
def test_what_stands_beside_a_name_tells_whether_it_is_given(
    name: str, substance: str | None
) -> None:
    assert filed(name) == substance


def test_a_substance_listed_apart_takes_its_names_along() -> None:
    apart = TrialSpec(modalities={"ayahuasca": ["ayahuasca"], "DMT": ["dmt"], "R-ketamine": ["*"]})
    assert filed("SPL026", spec=apart) == "DMT"
    assert filed("hoasca", spec=apart) == "ayahuasca"
    assert filed("PCN-101", spec=apart) == "R-ketamine"
    assert filed("Ketamine", spec=apart) is None
    own = TrialSpec(modalities={"cannabinoids": ["cannab*", "THC"]})
    assert filed("Cannabidiol oil", spec=own) == "cannabinoids"


def test_a_workflow_may_list_other_substances() -> None:
    spec = TrialSpec(modalities={"5-MeO-DMT": ["mebufotenin"], "ibogaine": ["noribogaine"]})
    assert filed("5-MeO-DMT", spec=spec) == "5-MeO-DMT"
    assert filed("Noribogaine", spec=spec) == "ibogaine"
    assert filed("Psilocybin", spec=spec) is None


NAMES = [(name, phrase) for name, phrases in SUBSTANCES.items() for phrase in phrases]


# "-", "+" within brackets are signs of handedness
@given(st.sampled_from(NAMES), *[st.text("()/,.; ®™•", max_size=5)] * 2)
def test_punctuation_around_a_name_does_not_matter(
    known: tuple[str, str], before: str, after: str
) -> None:
    name, phrase = known
    assert filed(f"{before}{phrase}{after}") == name
    assert filed(f"{before}{phrase.upper()}{after}") == name


@given(st.sampled_from(NAMES), *[st.text("bcfghjkpqvwz", min_size=1, max_size=5)] * 2)
def test_a_name_inside_another_word_is_not_found(
    known: tuple[str, str], before: str, after: str
) -> None:
    joined = known[1].replace(" ", "").replace("-", "").replace(",", "").replace("(+)", "")
    assert filed(f"{before}{joined}{after}") is None


@given(st.lists(st.text(max_size=60), max_size=3), st.text(max_size=200))
def test_any_text_is_classified_without_failing(names: list[str], title: str) -> None:
    assert filed(*names, title=title) in {None, *SUBSTANCES}


# therapeutic conditions

THERAPEUTIC = [
    (["Posttraumatic Stress Disorder (PTSD)"], "MDMA-Assisted Psychotherapy"),
    (["Depressive Disorder, Treatment-Resistant"], "A Study"),
    (["Major Depressive Disorder (MDD)"], "A Study"),
    (["Treatment Resistant Depression (TRD)"], "A Study"),
    (["Bipolar Depression"], "A Study"),
    (["Alcohol Use Disorder (AUD)"], "A Study"),
    (["Obsessive-Compulsive Disorder (OCD)"], "A Study"),
    (["Social Anxiety Disorder"], "A Study"),
    (["Opioid-use Disorder"], "A Study"),
    (["Cocaine Dependence"], "A Study"),
    (["Demoralization"], "A Study"),
    (["Cancer"], "Anxiety Associated With a Life-Threatening Illness"),
    ([], "Ketamine as an Antidepressant"),
    (["Depression"], "Subanesthetic Dose of Ketamine"),
    (["Depression"], "A Sub-Anesthetic Dose of Ketamine"),
    (["Chronic Pain", "Depression"], "Neuropathic Pain and Depression"),
    (["Demoralization", "Pain, Acute"], "Ketamine-assisted Therapy for Advanced GI Cancer"),
    (["Demoralization"], "Psilocybin for the Pain of Loss"),
    (["Chronic Pain", "PTSD"], "Ketamine Infusion"),
    (["Stress Disorders, Post-Traumatic"], "A Study"),
    (["Depressive Disorder, Major, Recurrent"], "A Study"),
    (["Phobia, Social"], "A Study"),
    (["Dépression"], "A Study"),
    (["Heroin Dependence"], "A Study"),
    (["Amphetamine-Related Disorders"], "A Study"),
    (["Palliative Care"], "A Study"),
    ([], "Psilocybin Therapy for Psychological Distress in Palliative Patients"),
    (["Palliative Care", "Pain"], "Ketamine for Depression in a Hospice"),
]
NOT_THERAPEUTIC = [
    (["Anesthesia"], "Ketamine for Induction", Skip.CONDITION),
    (["Pain, Postoperative"], "Ketamine After Spine Surgery", Skip.CONDITION),
    (["Healthy"], "Pharmacokinetics", Skip.CONDITION),
    (["Respiratory Depression"], "Remifentanil and Ketamine", Skip.CONDITION),
    (["Osteochondritis Dissecans (OCD)"], "Ketamine Block", Skip.CONDITION),
    (["Tractional Retinal Detachment (TRD)"], "Ketamine", Skip.CONDITION),
    (["Opioid Use"], "Ketamine and Opioid Consumption", Skip.CONDITION),
    (["Alcoholic Hepatitis"], "Ketamine in Intensive Care", Skip.CONDITION),
    (["Preoperative Anxiety"], "Oral Ketamine in Children", Skip.CONDITION),
    (["Anxiety"], "Ketamine Premedication in Children", Skip.ANAESTHETIC),
    (["Depression"], "Esketamine in Patients Undergoing Cardiac Surgery", Skip.ANAESTHETIC),
    (["Depression"], "Ketamine Anaesthesia for Electroconvulsive Therapy", Skip.ANAESTHETIC),
    (["Pain, Acute", "Anxiety"], "Ketamine in the Ambulance", Skip.PAIN),
    (["Migraine", "Depression"], "Ketamine Infusion", Skip.PAIN),
    (["Anxiety, Separation"], "Ketamine in Children", Skip.CONDITION),
    (["Anxiety, Dental"], "Ketamine in Children", Skip.CONDITION),
    (["ST segment depression"], "Ketamine in Heart Disease", Skip.CONDITION),
    (["Skull Fracture, Depressed"], "Ketamine in Emergencies", Skip.CONDITION),
    (["Depressed Skull Fracture"], "Ketamine in Emergencies", Skip.CONDITION),
    (["Neonatal Depression"], "Ketamine in Labour", Skip.CONDITION),
    (["Hand Hygiene, Alcohol-Based"], "Ketamine on a Ward", Skip.CONDITION),
    (["Emergence Delirium", "Anxiety"], "Ketamine in Children", Skip.ANAESTHETIC),
    (["Cancer Pain"], "Ketamine in Palliative Care", Skip.PAIN),
    ([], "Ketamine and Refractory Painful Care in a Palliative Unit", Skip.PAIN),
]


@pytest.mark.parametrize(("conditions", "title"), THERAPEUTIC)
def test_trials_of_the_listed_conditions_are_taken(conditions: list[str], title: str) -> None:
    record = study(1, title, conditions=conditions, interventions=["Ketamine"])
    assert len(selected(record).rows) == 1


@pytest.mark.parametrize(("conditions", "title", "reason"), NOT_THERAPEUTIC)
def test_anaesthesia_pain_and_other_trials_are_left_out(
    conditions: list[str], title: str, reason: Skip
) -> None:
    record = study(1, title, conditions=conditions, interventions=["Ketamine"])
    assert selected(record).skipped == {reason: 1}
    assert len(selected(record, all_conditions=True).rows) == 1


def test_a_workflow_may_list_other_conditions() -> None:
    spec = TrialSpec(conditions=("Cluster Headache", "Anorexia Nervosa"))
    anorexia = study(1, conditions=["Anorexia Nervosa"], title="Psilocybin")
    depression = study(2, conditions=["Depression"], title="Psilocybin")
    assert [r["nct_id"] for r in selected(anorexia, depression, spec=spec).rows] == ["NCT00000001"]


def test_one_listed_synonym_stands_for_its_group() -> None:
    assert "obsessive compulsive" in with_synonyms(["Obsessive Compulsive"])["Obsessive Compulsive"]
    assert "OCD" in with_synonyms(["Obsessive Compulsive"])["Obsessive Compulsive"]
    assert with_synonyms(["Bruxism"]) == {"Bruxism": ("Bruxism",)}


def test_a_text_of_a_record_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    really = substances._folded

    def fold(text: str) -> str:
        read.append(text)
        return really(text)

    classifier = SubstanceClassifier(SUBSTANCES)
    classifier.classify(["psilocybin"], "A Study")
    monkeypatch.setattr(substances, "_folded", fold)
    record = (["LSD", "DMT"], "MDMA, then LSD", ["Depression"])
    assert classifier.classify(*record) == classifier.classify(*record) == "lsd"
    assert sorted(read) == ["DMT", "Depression", "LSD", "MDMA, then LSD"]


def test_a_name_that_is_added_later_is_found_in_a_text_that_was_read() -> None:
    finder = substances.SubstanceFinder()
    assert finder.find("Grapefruitine 5 mg") == ()
    finder.add("grapefruitine", "grapefruit")
    assert [hit.substance for hit in finder.find("Grapefruitine 5 mg")] == ["grapefruit"]
