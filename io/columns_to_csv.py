"""CSV of the Parquet, ORC or Arrow file that is standard input: what io/text_file.cc runs beside an import.

A list becomes its values, joined by "|"; a struct its members, as struct.member, and a list of structs a list for each
of these; true and false 1 and 0; NaN and null nothing; 17.0 is 17. Maps, and lists of lists, are left out.

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

EXPONENTS = 1e15  # from here on Arrow writes floats as 1.5e+15, which is no id
ROWS = 1 << 16
BYTES = 1 << 26  # of rows that are decoded at once, about: a row may be a user's whole history


def is_list(kind):
    return types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)


def is_list_of_structs(kind):
    return is_list(kind) and types.is_struct(kind.value_type)


def with_values(lists, of_values):
    """Lists as long as these, of what the function makes of all their values; a null is an empty list."""
    lists = lists.combine_chunks()
    lengths = pc.fill_null(pc.list_value_length(lists), 0).cast(pa.int32())
    offsets = pa.concat_arrays([pa.array([0], pa.int32()), pc.cumulative_sum_checked(lengths)])
    return pa.chunked_array([pa.ListArray.from_arrays(offsets, of_values(pc.list_flatten(lists)))])


def joined(lists):
    """Each list as text, with nothing for its nulls: it is as long as lists beside it."""
    texts = with_values(lists, lambda values: pc.fill_null(as_field(values).cast(pa.string()), ""))
    return pc.binary_join(texts, "|")


def members(lists, name):
    """A list for each member of these lists' structs, with its name."""
    kind = lists.type.value_type
    return [
        (f"{name}.{kind.field(k).name}", with_values(lists, lambda values, k=k: values.flatten()[k]))
        for k in range(kind.num_fields)
    ]


def whole_as_integers(column):
    """Floats, with 17 in the place of 17.0: so programs keep ids where some are missing."""
    size = pc.abs(column)
    whole = pc.and_(pc.equal(pc.floor(column), column), pc.less(size, 2.0**53))
    if pc.all(whole, min_count=0).as_py():
        return column.cast(pa.int64())
    if pc.max(size).as_py() < EXPONENTS:
        return column
    integers = pc.if_else(whole, column, pa.scalar(None, column.type)).cast(pa.int64())
    return pc.coalesce(integers.cast(pa.string()), column.cast(pa.string()))


def as_field(column):
    """What the CSV has of a column, or None."""
    kind = column.type
    if types.is_dictionary(kind):
        return as_field(column.cast(kind.value_type))
    if is_list(kind):
        return None if types.is_nested(kind.value_type) else joined(column)
    if types.is_nested(kind):
        return None
    if types.is_boolean(kind):
        return column.cast(pa.int8())
    if types.is_floating(kind):
        numbers = pc.if_else(pc.is_nan(column), pa.scalar(None, kind), column)
        return numbers if types.is_float16(kind) else whole_as_integers(numbers)  # 65504 at most
    return column


def as_table(table):
    while any(types.is_struct(kind) or is_list_of_structs(kind) for kind in table.schema.types):
        table = table.flatten()
        columns = []
        for name, column in zip(table.column_names, table.columns):
            columns += members(column, name) if is_list_of_structs(column.type) else [(name, column)]
        table = pa.Table.from_arrays([column for _, column in columns], [name for name, _ in columns])
    fields = {name: as_field(column) for name, column in zip(table.column_names, table.columns)}
    return pa.table({name: field for name, field in fields.items() if field is not None})


def chosen(names):
    """Which of the columns are written."""
    end = sys.argv.index("") if "" in sys.argv else len(sys.argv)
    needed, optional = set(sys.argv[1:end]), set(sys.argv[end + 1 :])
    if not needed or not needed <= set(names):
        return names
    return [name for name in names if name in needed | optional]


def has_list_of_structs(kind):
    if types.is_struct(kind):
        return any(has_list_of_structs(kind.field(k).type) for k in range(kind.num_fields))
    return is_list_of_structs(kind)


def decoded(schema, names):
    """What a reader is asked for: of lists of structs the whole, as each format has other names for their members."""
    whole = {field.name for field in schema if has_list_of_structs(field.type)}
    return sorted({root if (root := name.split(".")[0]) in whole else name for name in names})


class Parquet:
    def __init__(self, path):
        self.file = parquet.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20)
        about = self.file.metadata
        self.schema, self.rows = self.file.schema_arrow, about.num_rows
        self.bytes = sum(about.row_group(k).total_byte_size for k in range(about.num_row_groups))

    def batches(self, names):
        """Each with the number of its first row: of all rows, how far this is."""
        first = 0
        for batch in self.file.iter_batches(rows_of(self.rows, self.bytes), columns=decoded(self.schema, names)):
            yield first, batch
            first += batch.num_rows


def rows_of(rows, size):
    """As many of these rows as are decoded at once."""
    return max(1, min(ROWS, BYTES * rows // max(size, 1)))


class Orc:
    def __init__(self, path):
        from pyarrow import orc  # which not every pyarrow has

        self.file = orc.ORCFile(path)
        self.schema, self.rows = self.file.schema, self.file.nrows

    def batches(self, names):
        first = 0
        for stripe in range(self.file.nstripes):
            batch = self.file.read_stripe(stripe, columns=decoded(self.schema, names))
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
    header = as_table(log.schema.empty_table())
    names = chosen(header.column_names)
    csv.write_csv(header.select(names), sys.stdout.buffer)
    only_rows = csv.WriteOptions(include_header=False)
    for done, batch in log.batches(names):
        os.lseek(0, size * done // log.rows, os.SEEK_SET)
        rows = rows_of(batch.num_rows, batch.nbytes)
        for begin in range(0, batch.num_rows, rows):
            table = as_table(pa.Table.from_batches([batch.slice(begin, rows)])).select(names)
            csv.write_csv(table, sys.stdout.buffer, only_rows)  # the types of floats are the batch's
    os.lseek(0, size, os.SEEK_SET)


try:
    main()
except BrokenPipeError:  # the import has seen enough
    os._exit(1)
except Exception as error:  # one line, which the import shows
    sys.exit(str(error))
