"""Long documents with planted facts, and questions that use other words than the facts."""

from __future__ import annotations

import random
from collections.abc import Mapping

__all__ = ["FACTS", "documents"]

FACTS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "lighthouse.md": (
        (
            "The keeper of the Skerry lighthouse, Agnes Moncrieff, kept eleven goats on the rock.",
            "Which animals did the woman who tended the beacon own?",
        ),
        (
            "Its lamp burned rapeseed oil until paraffin replaced it in 1871.",
            "What fuel did the light use in earlier times?",
        ),
        (
            "In the storm of 1953, the foghorn sounded for ninety-one hours without a pause.",
            "How long was the warning signal heard during the great gale?",
        ),
        (
            "Supplies came by a boat called the Merry Widow, once a fortnight.",
            "What was the name of the vessel that brought provisions?",
        ),
    ),
    "bakery.txt": (
        (
            "The rye starter of the bakery was begun by Oskar Lindqvist in 1922 and has been fed every day since.",
            "Who first made the sourdough culture?",
        ),
        (
            "Dough for the cinnamon buns rests for seventeen hours in the cellar.",
            "How much time do the sweet rolls need before they are baked?",
        ),
        (
            "The brick oven is heated with birch wood only, because pine leaves a taste of resin.",
            "Which kind of timber fires the furnace, and why no other?",
        ),
        (
            "On Sundays, a loaf costs four crowns less for customers who bring their own bag.",
            "Is there a discount for people with a bag of their own?",
        ),
    ),
    "observatory.html": (
        (
            "The main telescope has a mirror of 2.4 metres that was ground in Jena.",
            "Where was the big reflector polished?",
        ),
        (
            "Comet Halvorsen was discovered from the dome by a night cleaner, Ruth Halvorsen.",
            "What was the job of the person who found a new comet?",
        ),
        (
            "Visitors must cover the lamps of their cars with red foil after sunset.",
            "What do guests have to do with their headlights at night?",
        ),
        ("The dome is turned by the motor of an old tram from Gothenburg.", "What machine makes the roof rotate?"),
    ),
    "orchard.json": (
        (
            "The oldest tree of the orchard, a Gravenstein apple, was planted in 1788.",
            "When was the most ancient plant put into the ground?",
        ),
        (
            "Wasps are kept away with clay pots of honey that hang at the northern fence.",
            "How are stinging insects lured from the fruit?",
        ),
        ("The cider press was a gift from the monks of Ytterby abbey.", "Who donated the device that squeezes juice?"),
        (
            "Pears are picked while they are hard, and ripen on straw in the loft.",
            "Where does one variety of fruit become soft after the harvest?",
        ),
    ),
    "railway.csv": (
        (
            "The steepest section of the mountain line rises one metre in every nine.",
            "What is the greatest gradient of the track?",
        ),
        (
            "Its locomotive number 7 is nicknamed the Kettle because it whistles when it brakes.",
            "Why does an engine have a funny name?",
        ),
        (
            "The tunnel at Grimsdal was dug by convicts, and took fourteen years.",
            "How many years did prisoners need to build the underground passage?",
        ),
        (
            "Season tickets are made of brass and must be returned every December.",
            "What material are the yearly passes made from?",
        ),
    ),
}
"""By document: facts, and a question for each."""

_SUBJECTS = (
    "The committee",
    "A neighbour",
    "The new manager",
    "Every apprentice",
    "The old ledger",
    "A travelling painter",
    "The insurance company",
    "An engineer from the coast",
    "The parish council",
    "A retired teacher",
)
_VERBS = (
    "wrote at length about",
    "had little to say on",
    "asked twice for an account of",
    "kept a record of",
    "was surprised by",
    "compared earlier reports of",
    "tried to explain",
    "drew a sketch of",
)
_OBJECTS = (
    "the weather of that spring",
    "the repair of the roof",
    "a quarrel over the boundary",
    "the price of coal",
    "the paint on the window frames",
    "a dinner for forty guests",
    "the shortage of nails",
    "the arrival of the post",
    "the condition of the road",
    "the letters in the drawer",
    "a change in the rota",
    "the music at the fair",
)
_ENDS = (
    "although nothing came of it.",
    "and the matter rested there.",
    "which took most of an afternoon.",
    "while the others went on with their work.",
    "and a copy was sent to the mayor.",
    "as had been agreed the year before.",
    "but the page is missing.",
)


def documents(paragraphs: int = 30) -> dict[str, str]:
    """Documents by name. The facts are in paragraphs of their own, spread among others."""
    chance = random.Random(7)
    made = {}
    for name, facts in FACTS.items():
        parts = [" ".join(_sentence(chance) for _ in range(6)) for _ in range(paragraphs)]
        step = len(parts) // len(facts)
        for place, (fact, _) in enumerate(facts):
            parts[place * step + step // 2] += f" {fact}"
        made[name] = _formatted(name, parts)
    return made


def _sentence(chance: random.Random) -> str:
    return " ".join(chance.choice(part) for part in (_SUBJECTS, _VERBS, _OBJECTS, _ENDS))


def _formatted(name: str, parts: list[str]) -> str:
    if name.endswith(".html"):
        return (
            "<html><script>var hidden;</script><body>" + "".join(f"<p>{part}</p>" for part in parts) + "</body></html>"
        )
    return "\n\n".join(parts)
