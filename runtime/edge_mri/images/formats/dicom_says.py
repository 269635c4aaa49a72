"""What a DICOM header says against an MR image of a head: modality, kind of object, body part.

An element that is absent, empty or unspecific (modality OT, a secondary capture) says nothing; then
the pixels alone decide. What is told of a header's values is told only where they are plain words,
so that a reason holds nothing of a patient and no terminal escapes.
"""

import re
import unicodedata

_MR = frozenset({"MR", "MRI", "MA", "MS"})  # MA and MS: angiography and spectroscopy, retired
_UNSPECIFIC = frozenset({"OT", "SC", "DOC", "UNKNOWN", "OTHER", "NONE", "UNDEFINED", "NA"})

_STORAGE = "1.2.840.10008.5.1.4.1.1."
_KINDS = {
    "1.": "a radiograph",
    "2.": "CT",
    "3.": "ultrasound",
    "6.": "ultrasound",
    "9.": "a waveform",
    "11.": "a presentation",
    "12.": "an angiogram",
    "13.": "a radiograph",
    "14.": "an intravascular image",
    "20.": "nuclear medicine",
    "66.": "a segmentation or registration",
    "77.": "visible light",
    "78.": "an eye's measurements",
    "88.": "a report",
    "104.": "a document",
    "128.": "PET",
    "130.": "PET",
    "481.": "radiotherapy",
}
"""What a class of stored objects holds, by what follows `_STORAGE`; the others say nothing."""

_OF_HEAD = re.compile(
    r"HEAD|BRAIN|SKULL|CRANI|CRANEO|CRANE|CEREB|NEURO|ENCEPHAL|ENCEFAL|MENING|PITUIT|HYPOPHYS"
    r"|WILLIS|KOPF|HIRN|SCHAE?DEL|CABEZA|CABECA|CERVEAU|TESTA|HOOFD|HERSEN|AUDITORY"
    r"|TEMPORAL|MASTOID|PARANASAL|FACIAL|MANDIB|MAXILL"
)
_WORDS_OF_HEAD = frozenset(
    {
        *("EAR", "EARS", "EYE", "EYES", "ORBIT", "ORBITS", "FACE", "NOSE", "SINUS", "SINUSES"),
        *("JAW", "TMJ", "IAC", "IACS", "IAM", "IAMS", "SELLA", "TETE", "CAPUT"),
    }
)
_OF_BONE = re.compile(r"FEMOR|FEMUR|HUMER|RADI(AL|US)")  # these have heads, too
_PLAIN = re.compile(r"[A-Z0-9][A-Z0-9 ]{0,31}")


def why_foreign(modality: str, kind: str, body_part: str) -> str | None:
    """Return what a header says against being an MR image of a head, in words; None: nothing.

    Args:
        modality: Its Modality, or "".
        kind: Its SOPClassUID, or "".
        body_part: Its BodyPartExamined, or what its anatomic region means; or "".
    """
    method = _normal(modality)
    if method and method not in _MR and method not in _UNSPECIFIC:
        return f"the header says modality {_told(method, 'other than MR')}"
    if kind.startswith(_STORAGE):
        number = kind.removeprefix(_STORAGE) + "."
        for start, holds in _KINDS.items():
            if number.startswith(start):
                return f"the header says that it holds {holds}"
    part = _normal(body_part)
    if not part or part in _UNSPECIFIC or _is_of_head(part):
        return None
    return f"the header says body part {_told(part, 'other than a head')}"


def _is_of_head(part: str) -> bool:
    if _WORDS_OF_HEAD.intersection(part.split()):
        return True
    return bool(_OF_HEAD.search(part)) and not _OF_BONE.search(part)


def _normal(text: str) -> str:
    """Return capital letters without accents, and single spaces for what is no letter or digit."""
    letters = unicodedata.normalize("NFKD", text.upper())
    letters = "".join(c for c in letters if not unicodedata.combining(c))
    return " ".join(re.findall(r"[^\W_]+", letters))


def _told(value: str, otherwise: str) -> str:
    return value if _PLAIN.fullmatch(value) else otherwise
