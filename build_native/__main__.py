"""`python -m build_native`: build the native module into the source tree, for developers."""

from __future__ import annotations

import sysconfig

from build_native import MODULE, library
from build_native.toolchain import ROOT

path = ROOT / "python" / MODULE.replace(".", "/")
target = path.with_name(path.name + str(sysconfig.get_config_var("EXT_SUFFIX")))
library.build(target)
print(target.relative_to(ROOT))
