//! Words that say nothing about whose text it is: the commonest words of a few languages, commonest first.
//!
//! A phrase must have words that are not here. The first of each list never begin a phrase: ordinary text would wait
//! after each of them.

/// So many of each list never are anchors.
pub(super) const NEVER: usize = 24;

/// English, German, French, Spanish, Italian, Portuguese, Dutch; folded.
pub(super) const LISTS: &[&str] = &[
    "the of and to in a is that it for was on are as with be by this at or from not have an which but they he his you we i \
     their all has were will been one can if had would who when what there more its no so out up do into than other any \
     her she our about only may some them these two also then time such my me could must each first your how most should \
     made after over many did before because through where much between both those now own being under same while him \
     very us us just like even new well way does get make use used using see up still since without within during per \
     s t d ll re ve m don doesn isn can t yes every here another against again too off down know take good come people",
    "der die und in den von zu das mit sich des auf fur ist im dem nicht ein eine als auch es an werden aus er hat dass sie \
     nach wird bei einer um am sind noch wie einem uber einen so zum war haben nur oder aber vor zur bis mehr durch man \
     sein wurde sei hatte kann gegen vom konnen schon wenn habe seine mark ihre dann unter wir soll ich eines jahr zwei \
     diese dieser wieder keine seiner worden will zwischen immer was sagte gibt alle diesem seit muss wurden beim doch \
     jetzt waren drei jahre neue damit bereits da ab ihr seinen anderen wo konnte diesen ihm ihnen sehr ins mir mich",
    "de la le et les des en un une du dans il que est pour qui a au sur par plus ne pas ce se sont avec son aux ou on d l \
     cette mais comme nous vous ils elle leur ete sa ses tout fait y meme si bien peut tous ces sans etre deux entre \
     apres avoir encore aussi dont autres sous ainsi ont notre nos votre vos je tu me te lui leurs c n s qu j m",
    "de la que el en y a los se del las un por con no una su para es al lo como mas o pero sus le ha me si sin sobre este \
     ya entre cuando todo esta ser son dos tambien fue habia era muy hasta desde mi nos porque donde quien les ni contra \
     otros ese eso ante ellos e esto antes algunos unos yo otro otras otra tanto esa estos mucho cada",
    "di e il la che in un a per non una del con da le si i al sono dei come lo piu nel alla della gli anche ma se ha o o \
     delle su ci suo sua era questo questa essere fra tra dal dalla nella nelle quando tutti tutto loro molto stato dove",
    "de a o que e do da em um para com nao uma os no se na por mais as dos como mas ao ele das tem seu sua ou ser quando \
     muito nos ja eu tambem so pelo pela ate isso ela entre era depois sem mesmo aos seus quem nas me esse eles voce",
    "de van het een en in is dat op te zijn met voor die niet aan er om ook als dan maar bij nog uit door over naar tot \
     ze hij heeft worden was wordt hun kan meer geen deze al dit wat ik je we zo of of had werd wel haar moet na",
];
