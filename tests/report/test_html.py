import pytest

from rayrl.report.html import Html, element, join, table


def test_text_and_attributes_are_escaped_and_markup_is_not():
    made = element("p", "a < b & c", element("em", '"d"'), title='say "<hi>"')
    assert made == ('<p title="say &quot;&lt;hi&gt;&quot;">a &lt; b &amp; c<em>&quot;d&quot;</em></p>')
    assert isinstance(made, Html)


def test_attributes_by_name():
    made = element("a", "x", class_="big", aria_label="y", hidden=True, title=None, lang=False)
    assert made == '<a class="big" aria-label="y" hidden>x</a>'


def test_void_elements_have_no_end():
    assert element("meta", charset="utf-8") == '<meta charset="utf-8">'


def test_joining_escapes_what_is_no_markup():
    assert join(["<", element("b", "x"), Html("<hr>")], " ") == "&lt; <b>x</b> <hr>"


def test_a_table_tells_headers_numbers_and_where_names_may_break():
    made = table(["who", "return"], [["least_outstanding", "<1>"]], caption="All & more")
    assert '<th scope="row">least_<wbr>outstanding</th><td class="number">&lt;1&gt;</td>' in made
    assert '<th scope="col">who</th><th scope="col" class="number">return</th>' in made
    assert '<p class="caption">All &amp; more</p>' in made
    assert 'aria-label="All &amp; more"' in made


def test_the_rows_of_a_table_have_the_headers_length():
    with pytest.raises(ValueError, match="longer than"):
        table(["a", "b", "c"], [["1", "2"]])
