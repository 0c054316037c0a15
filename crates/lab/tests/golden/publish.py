"""Has readers of others look at what `owlet export` writes: `publish/` holds what the tests write, too.

Run by hand, after a change of these files:
    pip install mlcroissant==1.1.1 'cyclonedx-python-lib[json-validation]==11.12.0' huggingface_hub==2.4.0
    python publish.py [FILE...]
Ends with 1 if one of them is refused. Nothing is fetched.
"""

import logging
import pathlib
import sys

import mlcroissant
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from huggingface_hub import DatasetCard, ModelCard

warnings = []


class Heard(logging.Handler):
    def emit(self, record):
        warnings.append(record.getMessage())


def card(path):
    text = path.read_text()
    is_rows = "language_creators" in text or "configs:" in text
    found = (DatasetCard if is_rows else ModelCard)(text, ignore_metadata_errors=False)
    data = found.data.to_dict()
    assert data, "no head"
    return data


def croissant(path):
    warnings.clear()
    found = mlcroissant.Dataset(jsonld=str(path))
    issues = found.metadata.ctx.issues
    assert not issues.errors, issues.report()
    odd = [warning for warning in warnings if "not standard" in warning]
    assert not odd, odd
    return {
        "files": [part.sha256 for part in found.metadata.distribution],
        "record sets": [part.name for part in found.metadata.record_sets],
        "warnings": sorted(issues.warnings),
    }


def cyclonedx(path):
    fault = JsonStrictValidator(SchemaVersion.V1_6).validate_str(path.read_text())
    assert fault is None, fault
    return "valid CycloneDX 1.6"


def main():
    logging.getLogger("absl").addHandler(Heard())
    folder = pathlib.Path(__file__).parent / "publish"
    paths = [pathlib.Path(name) for name in sys.argv[1:]] or sorted(folder.iterdir())
    for path in paths:
        if path.name.endswith(".croissant.json"):
            told = croissant(path)
        elif path.name.endswith(".cdx.json"):
            told = cyclonedx(path)
        elif path.name.endswith(".eu.md"):
            told = "no reader of others"
        elif path.suffix == ".md":
            told = card(path)
        else:
            continue
        print(f"{path.name}: {told}")


if __name__ == "__main__":
    main()
