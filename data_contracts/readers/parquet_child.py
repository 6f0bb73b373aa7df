"""A program that reads one Parquet file and writes its batches as an Arrow stream: `parquet_child.py FILE ROWS`.

Files of others are parsed in a process of their own, with bounds on its memory and time: whatever a damaged
or hostile file does to the parser, the ingest goes on. Run by its path, so that it loads Arrow and nothing else.
"""

from __future__ import annotations

import os
import resource
import sys

UNREADABLE = 3  # exit status: the file is damaged, and stderr says how
MEMORY = 4 << 30  # bytes of address space
SECONDS, BYTES_PER_SECOND = 60, 1_000_000  # of the processor; a whole file takes a hundredth of it


def main(path: str, rows: int) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    seconds = SECONDS + os.path.getsize(path) // BYTES_PER_SECOND
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    try:
        with (
            pq.ParquetFile(path, page_checksum_verification=True, pre_buffer=False) as file,
            pa.ipc.new_stream(sys.stdout.buffer, file.schema_arrow) as stream,
        ):
            for batch in file.iter_batches(rows, use_threads=False):
                batch.validate(full=True)
                stream.write_batch(batch)
        sys.stdout.buffer.flush()  # nothing else does: there is no shutdown that would
    except BrokenPipeError:  # the reader has given up, and knows why
        return UNREADABLE
    except (pa.ArrowException, OSError, UnicodeDecodeError, MemoryError) as error:
        sys.stderr.write(str(error)[:200])
        return UNREADABLE
    return 0


if __name__ == "__main__":
    status = main(sys.argv[1], int(sys.argv[2]))
    sys.stderr.flush()
    os._exit(status)  # no shutdown of the interpreter, which native threads can abort
