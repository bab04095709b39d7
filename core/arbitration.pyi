from typing import final

from core.answers import Answers
from core.assignment import Experiments
from core.candidates import Candidates
from core.content import Blocks
from core.diversity import Likenesses
from core.output import Output

@final
class Arbitration:
    def __new__(
        cls,
        candidates: Candidates,
        likenesses: Likenesses,
        experiments: Experiments,
        blocks: Blocks,
        out: Output,
        answers: Answers,
    ) -> Arbitration: ...
