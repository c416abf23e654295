"""CSV of the Parquet, ORC or Arrow file that is standard input: what io/text_file.cc runs beside an import.

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


class Parquet:
    def __init__(self, path):
        self.file = parquet.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20)
        self.schema, self.rows = self.file.schema_arrow, self.file.metadata.num_rows

    def batches(self, names):
        """Each with the number of its first row: of all rows, how far this is."""
        first = 0
        for batch in self.file.iter_batches(ROWS, columns=names):
            yield first, batch
            first += batch.num_rows


class Orc:
    def __init__(self, path):
        from pyarrow import orc  # which not every pyarrow has

        self.file = orc.ORCFile(path)
        self.schema, self.rows = self.file.schema, self.file.nrows

    def batches(self, names):
        first = 0
        for stripe in range(self.file.nstripes):
            batch = self.file.read_stripe(stripe, columns=names)
            yield first, batch
            first += batch.num_rows


class Arrow:
    def __init__(self, path):
        self.file = pa.ipc.open_file(pa.memory_map(path))
        self.schema, self.rows = self.file.schema, self.file.num_record_batches  # whose rows are not counted

    def batches(self, names):
        roots = [root for root in self.schema.names if any((name + ".").startswith(root + ".") for name in names)]
        for number in range(self.rows):
            yield number, self.file.get_batch(number).select(roots)


def main():
    # Opened anew, for a position of its own: the import takes that of standard input for how far this is.
    path = "/proc/self/fd/0"
    with open(path, "rb") as file:
        begin = file.read(3)
    log = {b"PAR": Parquet, b"ORC": Orc, b"ARR": Arrow}[begin](path)
    size = os.fstat(0).st_size
    schema = as_table(log.schema.empty_table()).schema
    names = chosen(schema.names)
    with csv.CSVWriter(sys.stdout.buffer, pa.schema([schema.field(name) for name in names])) as out:
        for done, batch in log.batches(names):
            os.lseek(0, size * done // log.rows, os.SEEK_SET)
            for begin in range(0, batch.num_rows, ROWS):
                out.write_table(as_table(pa.Table.from_batches([batch.slice(begin, ROWS)])).select(names))
        os.lseek(0, size, os.SEEK_SET)


try:
    main()
except BrokenPipeError:  # the import has seen enough
    os._exit(1)
except Exception as error:  # one line, which the import shows
    sys.exit(str(error))
