//! Modules loaded.

use super::super::Effect;
use super::parts::{MODULE, MODULE_AND_FILE, MODULE_AND_FILE_THIRD, NONE, call};

#[rustfmt::skip]
pub static TABLE: &[Effect] = &[
    call(&["builtins.__import__"], "import.import", MODULE),
    call(&["_imp.create_dynamic"], "import.load", NONE),
    call(&["_imp.exec_dynamic"], "import.exec", NONE),
    call(&["_imp.create_builtin"], "import.load", NONE),
    call(&["_imp.get_frozen_object"], "import.load", NONE),
    call(&["__builtin__.reload"], "import.import", NONE),
    call(&["imp.load_dynamic"], "import.load", MODULE_AND_FILE),
    call(&["imp.load_module"], "import.load", MODULE_AND_FILE_THIRD),
    call(&["imp.load_source"], "import.load", MODULE_AND_FILE),
    call(&["imp.load_compiled"], "import.load", MODULE_AND_FILE),
    call(&["imp.load_package"], "import.load", MODULE_AND_FILE),
    call(&["_imp.exec_builtin"], "import.exec", NONE),
    call(&["_imp.init_frozen"], "import.load", NONE),
    call(&["builtins.__lazy_import__"], "import.lazy", MODULE).since(15),
    call(&["builtins.lazy_import.resolve"], "import.import", NONE).since(15),
    call(&["imp.init_builtin"], "import.load", MODULE),
    call(&["imp.init_frozen"], "import.load", MODULE),
    call(&["imp.find_module"], "import.find", MODULE),
    call(&["imp.get_frozen_object"], "import.load", MODULE),
];
