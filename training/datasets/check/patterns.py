"""What to look for in the text of a row: patterns in RE2's dialect (no lookaround), and their limits.

They are run over columns of text at once (pyarrow.compute); a flag is set where one is found.
"""

from enum import IntFlag


class Flag(IntFlag):
    """What is remarkable about one row."""

    CONTROL = 1
    MOJIBAKE = 2
    SPACES = 4
    PLACEHOLDER = 8
    CHAT_MARK = 16
    HTML = 32
    REFUSAL = 64
    COPY = 128
    BROKEN = 256
    FOREIGN = 512
    SYSTEM = 1024
    CODE = 2048


INVISIBLE = (
    r"[\x{0}-\x{8}\x{b}\x{c}\x{e}-\x{1f}\x{7f}-\x{9f}\x{ad}\x{200b}\x{200c}\x{200e}\x{200f}"
    r"\x{202a}-\x{202e}\x{2060}-\x{2064}\x{2066}-\x{2069}\x{feff}\x{e000}-\x{f8ff}]"
)
"""Control and format characters, and the private ones that HWP's bullets become. The joiner of
emoji (U+200D) is left alone, and so is U+FFFD, which is MOJIBAKE's."""

MOJIBAKE = (
    r"\x{fffd}"
    r"|[\x{c2}-\x{f4}][\x{80}-\x{9f}\x{a1}-\x{bf}][\x{80}-\x{bf}]"  # UTF-8 read as Latin-1
    r"|(?:[ìíëê][\x{80}-\x{bf}\x{152}-\x{2dc}\x{2013}-\x{2122}]{1,2}){2}"  # ... as Windows-1252
    r"|(?:[\x{b0}-\x{b6}\x{b8}-\x{c8}][\x{a1}-\x{fe}]|\x{b7}[\x{a1}-\x{b6}\x{b8}-\x{fe}]){3,}"  # CP949 read as Latin-1
    r"|(?:[\x{4e00}-\x{9fff}\x{f900}-\x{faff}][가-힣]?\?[가-힣]?){2,}"  # UTF-8 read as CP949
)
"""Told from letters that stand side by side anyway: «é\u00a0»» in French, and ······ for silence."""

SPACES = r"^\s|\s$|\n[ \t]*\n[ \t]*\n|[^\s|] {3,}[^\s|]|\r"
"""Blanks around the text, two empty lines or more, three blanks or more inside a line (a table
drawn with | is left alone)."""
LAID_OUT = r"\n(?: {2,}|\t)\S|[^\s|] {3,}[^\s|][^\n]*\n[^\n]*[^\s|] {3,}[^\s|]"
"""Indented lines, or columns that blanks draw: here blanks are meant."""
CODE = (
    r"```|(?i:<!doctype|<html\b)|\bSELECT\b[^;]{1,400}\bFROM\b"
    r"|(?m:^[ \t]*(?:(?:def|class|return|function|const|let|var|public|private|for|while|if|elif|int|void)\b"
    r"[^\n]*[;:{}()=][ \t]*|#include *[<\"][^\n]*)$)"
)
"""A program: its tags, braces and blanks are what is to be learnt."""

PLACEHOLDER = (
    r"\{\{ *[^{}\n]{1,40} *\}\}|\$\{[A-Za-z_가-힣][^{}\n]{1,39}\}"
    r"|(?:^|[^A-Za-z}\\_^$])\{(?:[A-Za-z_]{2,20}|[가-힣][가-힣 ]{0,19})\}"
    r"|\[(?:이름|성함|성명|고객명|회사명|기관명|부서명)(?:을|를)?(?: ?(?:입력|기입|삽입))?\]"
    r"|\S ?\[(?:담당자|날짜|일자|주소|제목|내용|금액)(?:을|를)?(?: ?(?:입력|기입|삽입))?\]"
    r"|\[(?i:your |insert |company |customer )[A-Za-z ]{0,30}\]"
    r"|(?i:lorem ipsum)|\b(?:TODO|TBD|FIXME)\b|[○◯]{2,}|\bO{3,}\b"
)
"""Not the arguments of LaTeX (\\text{if}), nor headings such as «[제목] 회의 안내»."""

CHAT_MARK = (
    r"<\|[A-Za-z_]{2,30}\|>|</?s>|\[/?INST\]|<</?SYS>>|<(?:start|end)_of_turn>"
    r"|#{2,3} ?(?:Instruction|Response|Input|Human|Assistant|User) ?:"
)
"""Marks of other models' chat templates, which ours adds by itself."""
ANSWER_MARK = r"^\s*(?:A|AI|답|답변|응답|Assistant|ASSISTANT|Bot|챗봇)\s*[:：]"
"""The speaker's name in front of what they say."""

TAGS = r"</?(?i:br|p|div|span|b|i|u|strong|em|a|ul|ol|li|table|tr|td|th|font|img|h[1-6])(?:\s[^<>]{0,200})?/?>"
HTML = TAGS + r"|&(?:nbsp|amp|lt|gt|quot|#[0-9]{2,5});"

REFUSAL = (
    r"(?:답변|도와|도움|안내|제공|처리|말씀|알려|응답|대답|지원)(?:을|를)?(?: ?드리기(?:는|가)?| ?드릴| ?해 ?드릴| ?하기(?:는|가)?| ?할)? ?"
    r"(?:어렵습니다|어려워요|어렵네요|수가? ?없(?:습니다|어요|네요|음)|불가(?:능)?(?:합니다|해요))"
    r"|(?:알|확인할|답할|도울) 수가? ?없(?:습니다|어요|네요)"
    r"|(?:잘 )?모르겠(?:습니다|어요|네요)"
    r"|(?:저는|나는) ?(?:AI|인공지능|언어 ?모델)"
    r"|(?:AI|인공지능) ?(?:언어 ?모델)?(?:로서|이기 때문에|이므로|라서)"
    r"|(?i:i(?:'|’)?m sorry,? but|i am sorry,? but|i (?:cannot|can(?:'|’)t|am unable to|am not able to|won(?:'|’)t) (?:help|assist|provide|answer|do|fulfill|comply|share|discuss)"
    r"|as an ai(?: language)?(?: model)?|i (?:do not|don(?:'|’)t) (?:know|have (?:access|information)))"
)
"""Refusing or not knowing, in Korean and English, anywhere in the answer."""

BROKEN = (
    r"^\s*(?i:null|none|nan|undefined|n/a|#n/a|#ref!|#value!|#name\?|#div/0!|\[object object\])\s*$"
    r"|^[\s\p{P}\p{S}ㅋㅎㅠㅜ]+$"
)
"""An answer that is an empty cell's name, or nothing but signs."""

FOREIGN = r"(?:^|[^(\p{Han}（])[\p{Han}\p{Hiragana}\p{Katakana}]{2,}(?:$|[^)\p{Han}）])"
"""Two or more Chinese or Japanese letters that are not in brackets behind a word."""

_END = r"(?:[.!?~…]|\s*$|\s*\n)"
_SAID = r"(?:[.!?~…,)\"'”’]|\s*$|\s*\n)"
_BIEUP = "".join(chr(code) for code in range(ord("갑"), ord("힣") + 1, 28))
"""All syllables that end in ㅂ, as what stands before -니다 and -니까 does."""
HAEYO = rf"[^필중수개주소][요죠]{_SAID}"
HAPSYO = rf"(?:[{_BIEUP}]니(?:다|까)|시오){_SAID}"
PLAIN = (
    rf"[가-힣]다{_END}|(?:[야어아해지자래냐군걸라돼게봐줘]|[가-힣]네)[.!?~…]"
    r"|(?:[있없았었했겠싶됐갔왔봤졌렸]어|[좋알같않많]아|[거뭐]야|[았었겠맞렇]지|[할갈줄볼을]게|[가-힣][냐돼봐줘])\s*$"
)
"""How sentences end: 해요체, 합쇼체, and 반말 or 평어; the last counts 합쇼체's 니다 too. Nouns that end
alike (필요, 한국어, 홈페이지, 신청자) are none, unless a full stop stands behind them."""
