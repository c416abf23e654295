"""CSV of the Parquet file that is standard input: what io/text_file.cc runs beside an import.

A list becomes its values, joined by "|"; a struct its members, as struct.member; true and false 1 and 0; NaN and null
nothing. Maps, and lists of lists or of structs, are left out.

Arguments: names of the columns to write, an empty one, and names of those to write where the file has them. All are
written where there are no arguments before the empty one, or where the file lacks one of these.
"""
import os
import sys

try:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.csv as csv
    import pyarrow.parquet as parquet
    from pyarrow import types
except ImportError as missing:
    sys.exit(f"{missing}; pip install pyarrow")

ROWS = 1 << 16


def joined(lists):
    """Each list as text, without its nulls."""
    if pc.list_flatten(lists).null_count == 0:
        return pc.binary_join(lists.cast(pa.list_(pa.string())), "|")
    texts = [None if row is None else "|".join(str(x) for x in row if x is not None) for row in lists.to_pylist()]
    return pa.chunked_array([pa.array(texts, pa.string())])


def as_field(column):
    """What the CSV has of a column, or None."""
    kind = column.type
    if types.is_dictionary(kind):
        return as_field(column.cast(kind.value_type))
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return None if types.is_nested(kind.value_type) else joined(column)
    if types.is_nested(kind):
        return None
    if types.is_boolean(kind):
        return column.cast(pa.int8())
    if types.is_floating(kind):
        return pc.if_else(pc.is_nan(column), pa.scalar(None, kind), column)
    return column


def as_table(table):
    while any(types.is_struct(field.type) for field in table.schema):
        table = table.flatten()
    fields = {name: as_field(column) for name, column in zip(table.column_names, table.columns)}
    return pa.table({name: field for name, field in fields.items() if field is not None})


def chosen(names):
    """Which of the columns are written."""
    end = sys.argv.index("") if "" in sys.argv else len(sys.argv)
    needed, optional = set(sys.argv[1:end]), set(sys.argv[end + 1 :])
    if not needed or not needed <= set(names):
        return names
    return [name for name in names if name in needed | optional]


def main():
    # Opened anew, for a position of its own: the import takes that of standard input for how far this is.
    log = parquet.ParquetFile("/proc/self/fd/0", pre_buffer=False, buffer_size=1 << 20)
    size, rows, done = os.fstat(0).st_size, log.metadata.num_rows, 0
    schema = as_table(log.schema_arrow.empty_table()).schema
    names = chosen(schema.names)
    with csv.CSVWriter(sys.stdout.buffer, pa.schema([schema.field(name) for name in names])) as out:
        for batch in log.iter_batches(ROWS, columns=names):
            out.write_table(as_table(pa.Table.from_batches([batch])))
            done += batch.num_rows
            os.lseek(0, size * done // rows, os.SEEK_SET)


try:
    main()
except BrokenPipeError:  # the import has seen enough
    os._exit(1)
except Exception as error:  # one line, which the import shows
    sys.exit(str(error))
