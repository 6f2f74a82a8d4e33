"""Pygments lexer for `.mlp`, made by `python -m mlpc.editors`: change that, not this file."""

# pyright: reportIncompatibleVariableOverride=false
from __future__ import annotations

from pygments.lexer import RegexLexer, bygroups, include, words
from pygments.token import Comment, Keyword, Name, Number, Operator, Punctuation, String, Whitespace

ITEMS = [
    "block", "data", "fn", "import", "loss", "model", "report", "train", "update",
]  # fmt: skip
STATEMENTS = [
    "from", "param", "return", "state",
]  # fmt: skip
FUNCTIONS = [
    "abs", "accuracy", "adagrad", "adam", "adamw", "argmax", "balanced", "batch_norm", "bernoulli",
    "binary_cross_entropy", "binary_cross_entropy_with_logits", "celu", "classes", "cols", "concat", "confusion", "cos",
    "cosine", "counts", "cross_entropy", "cross_entropy_with_logits", "dense", "dropout", "elu", "embedding", "erf",
    "exp", "expect", "f1", "floor", "focal", "gelu", "gelu_tanh", "half_cosine", "hard_sigmoid", "hard_swish", "hinge",
    "huber", "identity", "judged", "kl", "l1", "l2", "layer_norm", "leaky_relu", "linear_decay", "lion", "log",
    "log_cosh", "log_softmax", "mae", "max", "mean", "min", "mish", "momentum", "mse", "nadam", "nesterov", "one_cycle",
    "onehot", "poisson_nll", "precision", "quantile", "r2", "rank", "recall", "relu", "relu6", "repeat", "residual",
    "rms_norm", "rmse", "rmsprop", "roc_auc", "rows", "same", "selu", "sgd", "sigmoid", "sign", "silu", "sin",
    "softmax", "softplus", "softsign", "sqrt", "step_decay", "sum", "tanh", "top_k", "transpose", "warmup", "where",
]  # fmt: skip
INITIALIZERS = [
    "constant", "glorot_normal", "glorot_uniform", "he_normal", "he_uniform", "lecun_normal", "normal", "ones",
    "orthogonal", "uniform", "values", "zeros",
]  # fmt: skip
RESERVED = [
    "epoch", "epochs", "params", "pi", "step", "steps", "training", "weights",
]  # fmt: skip

NAME = r"[A-Za-z_][A-Za-z0-9_]*"
START = r"((?:^|(?<=\{))[ \t]*)"  # where a statement begins


class MlpLexer(RegexLexer):
    """Models of mlpc."""

    name = "mlpc"
    aliases = ["mlp", "mlpc"]
    filenames = ["*.mlp"]

    tokens = {
        "root": [
            (words(ITEMS, prefix=r"^([ \t]*)", suffix=r"\b"), bygroups(Whitespace, Keyword)),
            (r"\{", Punctuation, "braces"),
            include("expression"),
        ],
        "braces": [
            (words(STATEMENTS, prefix=START, suffix=r"\b"), bygroups(Whitespace, Keyword)),
            (rf"{START}({NAME}'?)([ \t]*)(=)(?!=)", bygroups(Whitespace, Name.Variable, Whitespace, Operator)),
            (r"\}", Punctuation, "#pop"),
            include("expression"),
        ],
        "parentheses": [
            (r"(axis)(\s*)(=)(\s*)(batch|features)\b", bygroups(Name.Attribute, Whitespace, Operator, Whitespace, Name.Constant)),
            (rf"({NAME})(\s*)(=)(?!=)", bygroups(Name.Attribute, Whitespace, Operator)),
            (r"\)", Punctuation, "#pop"),
            include("expression"),
        ],
        "squares": [
            (r"\]", Punctuation, "#pop"),
            include("expression"),
        ],
        "expression": [
            (r"\n+", Whitespace),  # apart from blanks: what begins a line is known by its begin
            (r"[ \t]+", Whitespace),
            (r"##.*", String.Doc),
            (r"#.*", Comment.Single),
            (r'"[^"\n]*"', String.Double),
            (r"(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?", Number),
            (words(FUNCTIONS, prefix=r"(\|>)(\s*)", suffix=r"\b"), bygroups(Operator, Whitespace, Name.Builtin)),
            (rf"(\|>)(\s*)({NAME})", bygroups(Operator, Whitespace, Name.Function)),
            (words(INITIALIZERS, prefix=r"(~)(\s*)", suffix=r"\b"), bygroups(Operator, Whitespace, Name.Builtin)),
            (rf"(\.)(\s*)({NAME})", bygroups(Punctuation, Whitespace, Name.Attribute)),
            (words(FUNCTIONS, suffix=r"\b(?=\s*\()"), Name.Builtin),
            (rf"{NAME}(?=\s*\()", Name.Function),
            (words(RESERVED, suffix=r"\b(?!')"), Name.Builtin.Pseudo),
            (rf"{NAME}'?", Name),
            (r"\|>|(?:<=|>=|==|!=|<|>)|\+|\-|\*|/|@|\^|=|\~", Operator),
            (r"\(", Punctuation, "parentheses"),
            (r"\[", Punctuation, "squares"),
            (r"[,:]", Punctuation),
        ],
    }
