"""What rows are called."""

from collections.abc import Callable

from actbench.records.names import row_names
from actbench.records.record import Record


def with_method(record: Record, name: str, version: str = "1", **options: object) -> Record:
    method = {"name": name, "version": version, "options": options}
    return record.model_copy(update={"spec": record.spec | {"method": method}})


def test_options_are_shown_where_records_of_a_method_differ(make_record: Callable[..., Record]) -> None:
    record = make_record()
    records = [
        with_method(record, "none"),
        with_method(record, "wcc", levels=3, wavelet="haar"),
        with_method(record, "wcc", levels=3, wavelet="db2"),
        with_method(record, "dct", levels=3),
        with_method(record, "dct", levels=3),
        with_method(record, "pca"),
        with_method(record, "pca", width=2),
    ]
    assert row_names(records) == ["none", "wcc wavelet=haar", "wcc wavelet=db2", "dct", "dct", "pca", "pca width=2"]


def test_versions_are_shown_where_records_of_a_method_differ(make_record: Callable[..., Record]) -> None:
    record = make_record()
    records = [with_method(record, "wcc"), with_method(record, "wcc", "2", levels=3), with_method(record, "dct", "2")]
    assert row_names(records) == ["wcc version 1", "wcc version 2 levels=3", "dct"]
