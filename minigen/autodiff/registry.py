"""The vocabulary: every op by its name.

`Op` adds each of its subclasses here as it is defined (in `minigen/ops`, one floor up). The walk
and Tensor's operators know the ops by name alone, so that imports only point down; and the tests
walk this table, so that no op ships unchecked.
"""

from typing import Any

OPS: dict[str, Any] = {}
