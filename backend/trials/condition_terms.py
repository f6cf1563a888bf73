"""The words that name conditions and settings in trial records: the data of `terms`.

A phrase stands for whole words, one that ends in `*` for every word with that beginning.
"""

from __future__ import annotations

from collections.abc import Mapping

#: care at the end of life, of which that of pain is a part
CARE_OF_THE_DYING = ("terminal care", "palliative*", "hospice*")

#: groups of condition names that mean the same; a workflow's list names any member of a group
CONDITION_GROUPS: Mapping[str, tuple[str, ...]] = {
    "PTSD": ("PTSD", "post traumatic stress*", "posttraumatic stress*", "combat disorder*"),
    "Major Depressive Disorder": ("MDD", "depress*", "antidepress*", "dysthymi*"),
    "Treatment Resistant Depression": (
        "TRD",
        "treatment resistant depress*",
        "therapy resistant depress*",
        "treatment refractory depress*",
        "depressive disorder treatment resistant",
    ),
    "Alcohol Use Disorder": ("AUD", "alcohol*", "drinking"),
    "Anxiety": ("anxiety", "anxious", "panic disorder*", "phobi*"),
    "OCD": ("OCD", "obsessive compulsive", "obsessive compulsive*"),
    "End of Life": (
        "end of life",
        "life threatening",
        "terminal ill*",
        "terminally ill*",
        *CARE_OF_THE_DYING,
        "death anxiety",
        "demorali*",
        "existential*",
    ),
    "Substance Use": (
        "substance use",
        "substance abuse",
        "substance dependence",
        "substance related*",
        "addict*",
        "OUD",
        "cocaine use*",
        "cannabis use*",
        "methamphetamine use*",
        "stimulant use*",
        "smoking cessation",
        *(
            f"{drug} {use}"
            for drug in (
                *("amphetamine", "benzodiazepine", "cannabis", "cocaine", "drug", "hallucinogen"),
                *("heroin", "ketamine", "marijuana", "methamphetamine", "morphine", "narcotic"),
                *("nicotine", "opiate", "opioid", "sedative", "stimulant", "tobacco"),
            )
            for use in (
                *("abuse*", "addict*", "dependence", "dependency", "misuse", "related disorder*"),
                *("use disorder*", "withdrawal*"),
            )
        ),
    ),
}

#: phrases that hold a condition's word and are not that condition
FALSE_CONDITIONS = (
    "respiratory depression",
    "depression of respiration",
    "ventilatory depression",
    "myocardial depression",
    "cardiac depression",
    "circulatory depression",
    "cardiovascular depression",
    "hemodynamic depression",
    "bone marrow depression",
    "cns depression",
    "central nervous system depression",
    "immune depression",
    "neonatal depression",
    "fetal depression",
    "st depression",
    "segment depression",
    "depressed skull*",
    "depressed fracture*",
    "depressed level*",
    "depressed consciousness",
    "non depress*",
    "spreading depression",
    "spreading depolarization",
    "cortical depression",
    "long term depression",
    "postoperative depression",
    "preoperative anxiety",
    "anxiety preoperative",
    "anxiety preop*",
    "dental anxiety",
    "dental phobi*",
    "separation anxiety",
    "alcoholic hepatitis",
    "alcoholic liver*",
    "non alcoholic*",
    "alcohol ablation",
    "alcohol septal ablation",
    "alcohol block*",
    "alcohol neurolysis",
    "alcohol based*",
    "alcohol gel*",
    "alcohol hand*",
    "fetal alcohol*",
    "drinking water",
)

#: a trial in one of these settings studies the substance as an anaesthetic
ANAESTHETIC_SETTINGS = (
    "anesthe*",
    "anaesthe*",
    "sedat*",
    "analgosedation",
    "premedicat*",
    "intubat*",
    "surg*",
    "postsurgical",
    "preop*",
    "postop*",
    "perioperative*",
    "intraoperative*",
    "pre operative*",
    "post operative*",
    "peri operative*",
    "intra operative*",
    "cesarean*",
    "caesarean*",
    "procedural",
    "preprocedur*",
    "periprocedur*",
    "emergence delirium",
    "emergence agitation",
)
#: a dose below the anaesthetic one is the therapeutic one
FALSE_SETTINGS = ("sub anesthe*", "sub anaesthe*", "non anesthe*", "non anaesthe*")

#: a trial on pain is therapeutic only if its title names a listed condition as well, or if it lists
#: one of `NO_PART_OF_PAIN`
PAIN_SETTINGS = ("pain*", "analges*", "hyperalgesia", "neuralgi*", "migraine*", "headache*")

#: conditions that pain does not bring along, as it does depression, anxiety or the use of opioids
NO_PART_OF_PAIN = (
    "demorali*",
    "existential*",
    *CONDITION_GROUPS["PTSD"],
    *CONDITION_GROUPS["OCD"],
    *CONDITION_GROUPS["Treatment Resistant Depression"],
)
