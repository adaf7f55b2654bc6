"""How a file was read, as a form in which its owner can say otherwise."""

from studio.data_forms import LayoutForm
from training.datasets import versions
from training.models import DatasetVersion


def form_of(version: DatasetVersion) -> LayoutForm | None:
    """Return the form; None where nothing can be read again."""
    if version.is_busy or not version.layout or not version.is_of_a_file:
        return None
    return LayoutForm(version.layout, version.choices) if versions.has_raw(version) else None
