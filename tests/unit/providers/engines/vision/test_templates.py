"""Pictures in chat templates of several kinds."""

from __future__ import annotations

from typing import Any

import jinja2
import pytest

from providers.chat.types import ImagePart, TextPart
from providers.engines.vision.templates import PictureMarks, PictureTemplate

PICTURE = ImagePart(1, 1, b"abc", "a1")
OTHER = ImagePart(1, 1, b"xyz", "b2")
LISTS = (
    "{% for m in messages %}{{ m.role }}:{% for p in m.content %}{% if p.type == 'image' %}<image>{% else %}"
    "{{ p.text }}{% endif %}{% endfor %};{% endfor %}"
)
BOTH = (
    "{% for m in messages %}{{ m.role }}:{% if m.content is string %}{{ m.content }}{% else %}{% for p in m.content %}"
    "{% if p.type == 'image' %}<image>{% else %}{{ p.text }}{% endif %}{% endfor %}{% endif %};{% endfor %}"
)
STRINGS = "{% for m in messages %}{{ m.role + ':' + m.content + ';' }}{% endfor %}"
marks = PictureMarks()


def template(source: str, **options: Any) -> PictureTemplate:
    compiled = jinja2.Template(source)

    def render(messages: Any, *, tokenize: bool, **options: Any) -> str:
        assert not tokenize
        return compiled.render(messages=messages, **options)

    return PictureTemplate(render, marks, "<image>", **options)


def content(*parts: str | ImagePart) -> str:
    return marks.text([TextPart(part) if isinstance(part, str) else part for part in parts], str)


@pytest.mark.parametrize("source", [LISTS, BOTH, STRINGS], ids=["lists", "both", "strings"])
def test_marks_come_back_where_the_pictures_were(source: str) -> None:
    turns = [
        {"role": "system", "content": "Look."},
        {"role": "user", "content": content("see ", PICTURE, OTHER, "both")},
        {"role": "assistant", "content": ""},
        {"role": "user", "content": content(PICTURE)},
    ]

    prompt = template(source)(turns)

    texts = ["system:Look.;user:see ", "", "both;assistant:;user:", ";"]
    assert marks.parts(prompt) == [texts[0], "a1", texts[1], "b2", texts[2], "a1", texts[3]]


@pytest.mark.parametrize(
    ("parts", "texts"),
    [
        ((PICTURE, "why?"), ["user:", "\nwhy?;"]),
        ((PICTURE, "\nwhy?"), ["user:", "\nwhy?;"]),
        (("see ", PICTURE), ["user:see ", ";"]),
        ((PICTURE, OTHER, "why?"), ["user:", "\n", "\nwhy?;"]),
        (("why?",), ["user:why?;"]),
    ],
)
def test_a_picture_may_have_a_line_where_the_template_writes_none(parts: Any, texts: list[str]) -> None:
    turn = {"role": "user", "content": content(*parts)}
    assert marks.parts(template(STRINGS, lines=True)([turn]))[::2] == texts
    assert "\n" not in template(BOTH, lines=True)([{"role": "user", "content": content(PICTURE, "why?")}])


def test_texts_without_pictures_are_shown_to_a_template_of_lists() -> None:
    assert template(LISTS)([{"role": "user", "content": "hello"}]) == "user:hello;"


def test_other_messages_stay_as_they_are() -> None:
    seen: list[Any] = []

    def render(messages: Any, **_: Any) -> str:
        seen.append(messages)
        return "probe" + "<image>" * str(messages).count("image")

    PictureTemplate(render, marks, "<image>")([{"role": "user", "content": "hello"}])

    assert seen[-1] == [{"role": "user", "content": "hello"}]


def test_a_placeholder_that_the_template_did_not_write_for_a_picture_is_no_picture() -> None:
    turns = [{"role": "user", "content": content("<image>", PICTURE)}]

    with pytest.raises(ValueError, match="places for 2 pictures in a conversation with 1"):
        template(LISTS)(turns)


def test_a_template_that_forgets_pictures_gets_them_inside_the_text() -> None:
    source = "{% for m in messages %}{% if m.content is string %}{{ m.content }}{% endif %};{% endfor %}"

    prompt = template(source)([{"role": "user", "content": content("see ", PICTURE)}])

    assert marks.parts(prompt) == ["see ", "a1", ";"]


def test_a_text_cannot_have_a_mark() -> None:
    assert PictureMarks().parts(content(PICTURE)) == [content(PICTURE)]
