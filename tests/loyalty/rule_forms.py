"""What a browser posts of the builder of an earning rule."""

from typing import Any

from loyalty.rules import builder, editing


def posted(definition: dict[str, Any]) -> dict[str, str]:
    """The fields of the form that shows this definition, with what stands in them."""
    drawn = builder.view(definition, {})
    tokens = [*drawn.event, *(token for row in drawn.caps for token in row)]
    tokens += [token for _label, row in drawn.settings for token in row]
    data = {"when": editing.trees.dump(editing.trees.whole(definition["when"]))}
    for effect in drawn.effects:
        tokens += [*effect.tokens, *(token for row in effect.rows for token in row)]
        data[effect.kind.name] = data[f"effects-{effect.place}-was"] = effect.kind.value
        if effect.lines and effect.lines.tree is not None:
            data[effect.lines.name] = editing.trees.dump(effect.lines.tree)
    return data | {token.field.name: token.field.value for token in tokens if token.field}
