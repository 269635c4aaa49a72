"""What a model tells apart, as data: types, the one that means "nothing found", planes.

space        the classes of a model, and what is known of an image
vocabulary   the names of folders and files that mean them

No class name of the default space stands in code outside this room and the phantoms.
"""

from edge_mri.labels.space import PLANES, TASKS, TYPES, Label, LabelSpace
from edge_mri.labels.vocabulary import Vocabulary, parse_folder_name

__all__ = ["PLANES", "TASKS", "TYPES", "Label", "LabelSpace", "Vocabulary", "parse_folder_name"]
