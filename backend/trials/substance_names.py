"""The names of substances as registries write them: the data of `backend/trials/substances.py`.

International and chemical names, brand names, development codes, combinations and CAS numbers, in
the languages in which trials are registered. A name stands for its spellings: case, accents,
hyphens, brackets and spaces do not matter, and salts, doses and forms beside it neither. Handed
forms (`S-ketamine`, `Ketanest S`) follow from the rule for handedness and are not listed.
"""

from __future__ import annotations

from collections.abc import Mapping

#: substance → names divided by semicolons; those that no workflow lists are nobody's trials
SUBSTANCE_NAMES: Mapping[str, str] = {
    "psilocybin": """
        psilocybin; psilocybine; psilocybinum; psilocibin; psilocybina; psilocibina; psylocybin;
        psylocybine; psylocibin; psylocybina; psilozybin; psilocybiini; psilocibine; pscilocybin;
        psilocin; psilocine; psilocina; psilocyn; psilozin; indocybin; CY-39; COMP360; CYB001;
        CYB003; PEX010; PEX020; PEX030; TRP-8802; TRP-8803; ELE-101; MYCO-001; APEX-002; APEX-52;
        BPL-PSILO; MLS101; 4-HO-DMT; 4-hydroxy-DMT; 4-hydroxy-N,N-dimethyltryptamine;
        4-hydroxydimethyltryptamine; 4-PO-DMT; 4-phosphoryloxy-N,N-dimethyltryptamine;
        O-phosphoryl-4-hydroxy-N,N-dimethyltryptamine;
        3-[2-(dimethylamino)ethyl]-1H-indol-4-yl dihydrogen phosphate;
        [3-(2-dimethylaminoethyl)-1H-indol-4-yl] dihydrogen phosphate;
        3-[2-(dimethylamino)ethyl]-1H-indol-4-ol; magic mushroom; magic mushrooms;
        magic truffles; psilocybe; psilocybe cubensis; псилоцибин; псилоцибина; псилоцин;
        ψιλοκυβίνη; 裸盖菇素; 裸蓋菇素; 赛洛西宾; 賽洛西賓; 脱磷酸裸盖菇素; シロシビン;
        サイロシビン; シロシン; 실로시빈; 사일로사이빈; 실로신; سيلوسيبين; بسيلوسيبين;
        פסילוסיבין; 520-52-5; 520-53-6""",
    "lsd": """
        LSD; LSD-25; D-LSD; lysergide; lysergidum; lisergida; delysid; lysergic acid;
        lysergic acid diethylamide; d-lysergic acid diethylamide; lysergic acid N,N-diethylamide;
        d-lysergic acid N,N-diethylamide; lysergic diethylamide; lysergic acid diethyl amide;
        lysergide d-tartrate; N,N-diethyllysergamide; N,N-diethyl-D-lysergamide;
        lysergsäurediethylamid; lysergsäure; lyserginsäurediethylamid; lysergzuurdiethylamide;
        lysergsyradietylamid; lysergsyrediethylamid; lysergsyredietylamid; acide lysergique;
        diéthyllysergamide; diéthylamide de l'acide lysergique; acide lysergique diéthylamide;
        ácido lisérgico; dietilamida del ácido lisérgico; dietilamida do ácido lisérgico;
        dietilamide dell'acido lisergico; acido lisergico; dietyloamid kwasu lizergowego;
        kwas lizergowy; MM120; MM-120 ODT; ЛСД; ЛСД-25; диэтиламид лизергиновой кислоты;
        диэтиламид d-лизергиновой кислоты; 麦角酸二乙胺; 麦角酸二乙酰胺; 麥角酸二乙胺;
        リゼルグ酸ジエチルアミド; 리세르그산 디에틸아미드; 리서직산 디에틸아마이드; 50-37-3;
        9,10-didehydro-N,N-diethyl-6-methylergoline-8-carboxamide""",
    "ayahuasca": """
        ayahuasca; ayahuaska; ayuasca; ayuhuasca; ajahuaska; ayawaska; hoasca; pharmahuasca;
        yagé; santo daime; banisteriopsis caapi; psychotria viridis; аяуаска; айяуаска;
        アヤワスカ; 死藤水; 아야와스카""",
    "dmt": """
        DMT; N,N-DMT; NN-DMT; dimethyltryptamine; N,N-dimethyltryptamine; dimethyltryptamin;
        diméthyltryptamine; dimetiltriptamina; dimetyltryptamin; dimetylotryptamina;
        dimethyl tryptamine; 2-(1H-indol-3-yl)-N,N-dimethylethanamine; SPL026; SPL028; VLS-01;
        CYB004; диметилтриптамин; ДМТ; 二甲基色胺; ジメチルトリプタミン; 디메틸트립타민; 61-50-7""",
    "mdma": """
        MDMA; 3,4-MDMA; N-methyl-MDA; midomafetamine; midomafetamin; midomafetamina; midomafétamine;
        midomafetaminum; 3,4-methylenedioxymethamphetamine; 3,4-methylenedioxymetamphetamine;
        methylenedioxymethamphetamine; methylenedioxymetamphetamine;
        methylenedioxymethamphetamin; methylendioxymethamphetamine; methylendioxymethamphetamin;
        methylenedioxymetamfetamine; methyleendioxymethamfetamine; méthylènedioxyméthamphétamine;
        méthylènedioxymétamphétamine; 3,4-methylenedioxymethylamphetamine;
        3,4-methylenedioxy-N-methylamphetamine; 3,4-methylenedioxy-N-methamphetamine;
        methylenedioxy-N-methylamphetamine; N-methyl-3,4-methylenedioxyamphetamine;
        N-methyl-methylenedioxyamphetamine; metilendioximetanfetamina;
        3,4-metilendioximetanfetamina; metilenodioximetanfetamina; metilenodioxi-metanfetamina;
        metilendiossimetanfetamina; metilendioximetamfetamina; metylenodioksymetamfetamina;
        metylendioxymetamfetamin; metylendioksymetamfetamin; methylenedioxymethylamphetamine;
        1-(1,3-benzodioxol-5-yl)-N-methylpropan-2-amine; ecstasy; extasy; ecstacy; éxtasis;
        êxtase; XTC; EMP-01; MM-402; МДМА; мидомафетамин; метилендиоксиметамфетамин;
        3,4-метилендиоксиметамфетамин; экстази; 亚甲二氧甲基苯丙胺; 亞甲二氧甲基苯丙胺; 摇头丸;
        メチレンジオキシメタンフェタミン; エクスタシー; 메틸렌디옥시메스암페타민; 42542-10-9;
        64057-70-1""",
    "esketamine": """
        esketamine; esketamin; esketamina; eskétamine; esketaminum; esketamiini; eszketamin;
        escetamina; esketemine; dextroketamine; dextroketamin; dextrocetamina; dextroketamina;
        dexketamine; dextrorotatory ketamine; spravato; keyzilen; eskesia; vesierra; esketiv;
        falkieri; ketanest-S;
        JNJ-54135419; JNJ-54135419-AAC; CLE-100; HR071603; HR-071603; AM-101; AWKN-001;
        esketofol; эскетамин; эскетамина; справато; εσκεταμίνη; 艾司氯胺酮; 艾氯胺酮; 依他氯胺酮;
        右旋氯胺酮; 右氯胺酮; S氯胺酮; エスケタミン; 에스케타민; 스프라바토; إسكيتامين;
        اسكيتامين; אסקטמין; 33643-46-8; 33643-47-9; 33795-24-3""",
    "ketamine": """
        ketamine; ketamin; ketamina; kétamine; ketaminum; ketamiini; cetamina; quetamina;
        kétamin; ketemine; ketamine-HCl; ketofol; ketodex; ketalar; ketalin; ketanest; ketolar;
        ketaject; ketajet; ketmin; aneket; ketamax; kanox; calypsol; calipsol; kalipsol;
        calypsovet; ketasol; ketased; ketaset; ketavet; ketarol; ketava; ketax; keiran;
        inducmina; brevinaze; velonarcon; vetalar; imalgene; imalgène; narketan; anesketin;
        ketaminol; clorketam; chlorketam; ketanarkon; ketarx; ereka; CI-581; CN-52372-2; SLS-002;
        PMI-150; NRX-100; BB106; 2-(2-chlorophenyl)-2-(methylamino)cyclohexanone;
        2-(2-chlorophenyl)-2-(methylamino)cyclohexan-1-one; кетамин; кетамина; кетамином;
        кеталар; калипсол; κεταμίνη; κεταμινη; 氯胺酮; ケタミン; ケタラール; 케타민; 케타라;
        كيتامين; كيتامين; קטמין; 6740-88-1; 1867-66-9""",
    # below: nobody's unless a workflow lists them
    "arketamine": """
        arketamine; arketamin; arketamina; arcetamina; levoketamine; levorotatory ketamine; PCN-101;
        аркетамин; 左旋氯胺酮; アルケタミン""",
    "ketamine metabolite or analogue": """
        hydroxynorketamine; norketamine; dehydronorketamine; deschloroketamine; methoxetamine;
        去甲氯胺酮; 氟胺酮; ノルケタミン; tiletamine""",
    "5-MeO-DMT": """
        5-MeO-DMT; mebufotenin; 5-methoxy-DMT; 5-methoxy-N,N-dimethyltryptamine;
        5-methoxydimethyltryptamine; O-methylbufotenin; GH001; GH002; GH003; BPL-003;
        bufo alvarius; incilius alvarius; 5-甲氧基二甲基色胺""",
    "other tryptamine": """
        4-AcO-DMT; 4-acetoxy-DMT; psilacetin; bufotenine; bufotenin; 5-HO-DMT; 5-hydroxy-DMT;
        N-methyltryptamine; diethyltryptamine; dipropyltryptamine; diisopropyltryptamine;
        5-MeO-DiPT; 5-MeO-MiPT; 4-HO-DiPT; norpsilocin; baeocystin; RE104""",
    "other lysergamide": """
        1P-LSD; 1cP-LSD; 1V-LSD; ALD-52; 2-bromo-LSD; 2-Br-LSD; bromo-LSD; BOL-148; BETR-001;
        lysergic acid amide; lysergic acid 2,4-dimethylazetidide;
        lysergic acid hydroxyethylamide; lysergic acid monoethylamide;
        lysergic acid propanolamide; methylergometrine""",
    "other amphetamine": """
        3,4-methylenedioxyamphetamine; methylenedioxyamphetamine; tenamfetamine; MDA; MDEA; MDAI;
        methylone; 3,4-methylenedioxyethylamphetamine; methylenedioxyethylamphetamine;
        3,4-methylenedioxymethcathinone; methylenedioxypyrovalerone; MDPV;
        5-methoxy-3,4-methylenedioxyamphetamine; methamphetamine; amphetamine""",
    "ibogaine": "ibogaine; tabernanthe iboga; iboga; DMX-1001; ibogaína; ибогаин",
    "noribogaine": "noribogaine; 12-hydroxyibogamine",
    "mescaline": """
        mescaline; mescalin; mescalina; meskalin; peyote; 3,4,5-trimethoxyphenethylamine""",
    "2C-B": "2C-B; 4-bromo-2,5-dimethoxyphenethylamine",
    "salvinorin A": "salvinorin A; salvia divinorum",
    "look-alike": "LSD-1; LSD1; KDM1A; DMT1; DMT310; DMT410; NRX-101",
}
